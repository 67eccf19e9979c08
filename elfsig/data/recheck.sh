#!/bin/sh
# Confirm the verdicts of this bundle without elfsig.
#
#     sh recheck.sh [-v] [m00001 ...]
#
# Needs a POSIX shell, the GNU coreutils, openssl, and gpgv for OpenPGP signatures; gzip, xz or zstd for
# compressed modules. Nothing is written but to a temporary folder, and nothing outside of this one is read.
# -v prints every check with its result. Without names, all modules are checked.
#
# Exit status: 0 every verdict is confirmed; 1 one is contradicted, or a file of the bundle was changed; 2 none
# is contradicted, but some could not be confirmed, and it says which and why; 3 the check could not be run; 4 as
# 2, and for some it is because a tool is not installed here: "not confirmed: needs xz".
#
# What is checked is in the file "checks" of each module, one line a check:
#
#   module VERDICT                   the verdict of the module that follows
#   unpack TOOL A B                  A unpacks to B
#   copy A B START SIZE              A is SIZE bytes of B from START on
#   ranges A B LIST MADE             A is made of the ranges of B, and bytes of MADE, that LIST names
#   signature N VERDICT              a signature, and its verdict
#   open CODE                        this verdict cannot be confirmed with general tools
#   none CODE                        this verdict claims nothing that could be confirmed
#   fact GROUP WANT KIND ...         one way to find out GROUP; it must come out as WANT
#
# A group comes out as "yes" if one of its facts does, else as "no" if one does, else as "lack" if a tool is not
# installed that one of them needs, else it is open. WANT "no" is how a bad signature is confirmed: openssl or
# gpgv must refuse it. WANT "unread" is for what elfsig calls malformed: general tools may accept more than kernels
# do, so that their "yes" contradicts nothing.

set -u
LC_ALL=C
export LC_ALL

verbose=
while [ $# -gt 0 ]; do
    case $1 in
    -v) verbose=1 ;;
    m[0-9][0-9][0-9][0-9][0-9]*) break ;;
    *) printf 'usage: sh recheck.sh [-v] [m00001 ...]\n' >&2; exit 3 ;;
    esac
    shift
done

for tool in cat dd dirname mktemp od rm sha256sum tail tr wc; do
    command -v "$tool" >/dev/null || { printf 'recheck: %s is needed\n' "$tool" >&2; exit 3; }
done
CDPATH='' cd -- "$(dirname -- "$0")" || exit 3
here=$PWD
[ -f SHA256SUMS ] || { printf 'recheck: SHA256SUMS is missing: this is not a whole bundle\n' >&2; exit 3; }
work=$(mktemp -d) || exit 3
trap 'rm -rf -- "$work"' EXIT
trap 'exit 3' HUP INT TERM

# ---------------------------------------------------------------- words and bytes

is_number() { case $1 in '' | *[!0-9]* | ????????????????*) return 1 ;; esac; }

is_name() { case $1 in '' | [!a-z0-9]* | *[!a-z0-9.-]*) return 1 ;; esac; }

# Set $file to the path of a file of this module, or of a key.
locate() {
    case $1 in
    keys/k[0-9][0-9][0-9][0-9][0-9]/*) file=$1; is_name "${1#keys/k?????/}" ;;
    *) file=$folder/$1; is_name "$1" ;;
    esac && [ -f "$file" ]
}

hex() { od -An -v -tx1 | tr -d ' \n'; }

# The bytes of FILE from START on, SIZE of them.
slice() { dd if="$1" iflag=skip_bytes,count_bytes skip="$2" count="$3" bs=65536 2>/dev/null; }

# The bytes that are written in hex; "-" is none.
bytes() {
    rest=${1#-} octal=
    while [ -n "$rest" ]; do
        byte=$((0x${rest%"${rest#??}"}))
        octal="$octal\\$((byte / 64))$((byte / 8 % 8))$((byte % 8))"
        rest=${rest#??}
    done
    # shellcheck disable=SC2059
    printf "$octal"
}

# The digest of files, in hex; nothing where no tool here computes it.
digest() {
    name=$1
    shift
    sum=
    case $name in
    sha1 | sha224 | sha256 | sha384 | sha512 | md5)
        ! command -v "${name}sum" >/dev/null || sum=$(cat -- "$@" | "${name}sum") ;;
    esac
    [ -n "$sum" ] || ! command -v openssl >/dev/null || sum=$(cat -- "$@" | openssl dgst -r "-$name" 2>/dev/null)
    printf %s "${sum%% *}"
}

# ---------------------------------------------------------------- one fact: sets $is and $because

say() { is=$1 because=$2; }

# Whether a tool is installed.
has() { command -v "$1" >/dev/null || { say lack "needs $1"; return 1; }; }

# There is no digest of this name.
no_digest() { ! has openssl || say open "no tool here computes $1"; }

# Whether openssl reads the public key in $key.
reads_key() {
    has openssl || return
    case $readable in *" $key "*) return ;; esac
    openssl pkey -pubin -in "$key" -noout 2>/dev/null && readable="$readable $key " && return
    say open 'openssl does not read this kind of key'
    return 1
}

# An answer of openssl about a value, in $said.
judge() {
    case $said in
    *'Verified OK'* | *'Verified Successfully'*) say yes 'openssl accepts the value' ;;
    *'Verification failure'* | *'Verification Failure'*) say no 'openssl refuses the value' ;;
    *) say open 'openssl cannot check this kind of signature' ;;
    esac
}

# HASH STREAM HOLDER START SIZE: the digest of a file is stored in another.
fact_digest() {
    locate "$2" && stream=$file && locate "$3" && is_number "$4" && is_number "$5" || return
    wanted=$(digest "$1" "$stream")
    [ -n "$wanted" ] || { no_digest "$1"; return 0; }
    if [ "$(slice "$file" "$4" "$5" | hex)" = "$wanted" ]; then
        say yes 'the digest that was signed is that of the stream'
    else
        say no 'the digest that was signed is not that of the stream'
    fi
}

# Set $signed to what is hashed: a file, and one after it.
together() {
    locate "$1" || return
    signed=$file
    [ "$2" = - ] && return
    locate "$2" || return
    cat -- "$signed" "$file" >"$work/signed"
    signed=$work/signed
}

# FORM HASH SIGNED SUFFIX VALUE KEY PREFIX: the RSA value, to the public exponent, is the padded digest.
fact_rsa() {
    together "$3" "$4" && locate "$5" && value=$file && locate "$6" && key=$file || return
    reads_key || return 0
    said=$(openssl dgst "-$2" -verify "$key" -signature "$value" "$signed" 2>&1)
    judge
    [ "$1" = info ] && [ "$is" = yes ] && return
    sum=$(digest "$2" "$signed")
    [ -n "$sum" ] || { no_digest "$2"; return 0; }
    block=$(openssl pkeyutl -verifyrecover -pubin -inkey "$key" -pkeyopt rsa_padding_mode:none -in "$value" \
        2>"$work/errors" | hex)
    if [ -z "$block" ]; then
        case $(cat "$work/errors") in
        *'too large'* | *'greater than mod'* | *'wrong signature length'* | *'data too small'* | *'key size too small'*)
            say no 'the value is not one of this key: openssl refuses its size' ;;
        *) [ "$1" = info ] || say open 'openssl cannot apply the key to the value' ;;
        esac
        return 0
    fi
    case $1 in
    info) body=$7$sum ;;
    bare | unpadded) body=$sum ;;
    hex) body=$(printf %s "$sum" | hex) ;;
    hex-newline) body=$(printf '%s\n' "$sum" | hex) ;;
    esac
    if [ "$1" = unpadded ]; then padded $((${#block} - ${#body})) 0 '' ''
    else padded $((${#block} - ${#body} - 6)) f 0001 00; fi
    if [ "$block" = "$padded" ]; then say yes 'openssl: the value holds the digest of what is signed'
    else say no 'openssl: the value does not hold the digest of what is signed'; fi
}

# Set $padded to $3, as many of the digit $2 as $1 says, $4, and $body.
padded() {
    padded=$3 fill=$2
    [ "$1" -gt 0 ] || { padded=; return 0; }
    while [ ${#fill} -lt "$1" ]; do fill=$fill$fill; done
    padded=$3$(printf "%.$1s" "$fill")$4$body
}

# HASH SIGNED SUFFIX VALUE KEY: DSA and ECDSA, with r and s in DER.
fact_pair() {
    together "$2" "$3" && locate "$4" && value=$file && locate "$5" && key=$file || return
    reads_key || return 0
    said=$(openssl dgst "-$1" -verify "$key" -signature "$value" "$signed" 2>&1)
    judge
    [ "$is" = open ] || return 0
    sum=$(digest "$1" "$signed")
    [ -n "$sum" ] || { no_digest "$1"; return 0; }
    bytes "$sum" >"$work/digest"
    said=$(openssl pkeyutl -verify -pubin -inkey "$key" -in "$work/digest" -sigfile "$value" 2>&1)
    judge
}

# HASH MASK-HASH SALT SIGNED VALUE KEY: RSASSA-PSS.
fact_pss() {
    is_number "$3" && together "$4" - && locate "$5" && value=$file && locate "$6" && key=$file || return
    reads_key || return 0
    said=$(openssl dgst "-$1" -sigopt rsa_padding_mode:pss -sigopt "rsa_pss_saltlen:$3" \
        -sigopt "rsa_mgf1_md:$2" -verify "$key" -signature "$value" "$signed" 2>&1)
    judge
}

# SIGNED VALUE KEY: algorithms that sign the message itself.
fact_message() {
    together "$1" - && locate "$2" && value=$file && locate "$3" && key=$file || return
    reads_key || return 0
    said=$(openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in "$signed" -sigfile "$value" 2>&1)
    judge
}

# BLOB STREAM RING|all: the OpenPGP signature as it is, with one key, or with all that there are.
fact_gpgv() {
    locate "$1" && blob=$file && locate "$2" && stream=$file || return
    has gpgv || return 0
    every=$3
    set -- --homedir "$work" --ignore-time-conflict --status-fd 1
    if [ "$every" = all ]; then
        for ring in keys/k*/ring.gpg; do [ -f "$ring" ] && set -- "$@" --keyring "$here/$ring"; done
    else
        locate "$every" || return
        set -- "$@" --keyring "$here/$file"
    fi
    case $(gpgv "$@" "$blob" "$stream" 2>/dev/null) in
    *'[GNUPG:] VALIDSIG '*) say yes 'gpgv accepts the signature' ;;
    *'[GNUPG:] BADSIG '*) say no 'gpgv refuses the signature' ;;
    *'[GNUPG:] NO_PUBKEY '*) [ "$every" = all ] && say no 'gpgv finds none of the keys' ||
        say open 'gpgv does not find the key' ;;
    *) say open 'gpgv cannot check this signature or use this key' ;;
    esac
}

# BLOB STREAM CERTIFICATE: the CMS as it is; neither the certificate nor its dates are judged.
fact_cms() {
    locate "$1" && blob=$file && locate "$2" && stream=$file && locate "$3" || return
    has openssl || return 0
    if openssl cms -verify -binary -inform DER -in "$blob" -content "$stream" -certfile "$file" -nointern \
        -noverify -out /dev/null 2>"$work/errors"; then
        say yes 'openssl cms accepts the signature'
        return 0
    fi
    case $(cat "$work/errors") in
    *'verification failure'*) say no 'openssl cms refuses the signature' ;;
    *) say open 'openssl cms cannot check this signature' ;;
    esac
}

fact_cmsread() {
    locate "$1" || return
    has openssl || return 0
    if openssl cms -cmsout -noout -inform DER -in "$file" 2>/dev/null; then say yes 'openssl cms reads it'
    else say no 'openssl cms does not read it'; fi
}

fact_gpgvread() {
    locate "$1" || return
    has gpgv || return 0
    case $(gpgv --homedir "$work" --keyring /dev/null --status-fd 1 "$file" /dev/null 2>/dev/null) in
    *'[GNUPG:] NEWSIG'*) say yes 'gpgv reads it' ;;
    *) say no 'gpgv does not read it' ;;
    esac
}

# STREAM STEPS ROOT: a chain of SHA-256 leads from the stream to the root.
fact_steps() {
    locate "$1" && stream=$file && locate "$2" || return
    node=
    while read -r before after rest; do
        case $before$after in *[!0-9a-f-]*) return 1 ;; esac
        if [ -z "$node" ]; then sum=$({ bytes "$before"; cat -- "$stream"; bytes "$after"; } | sha256sum)
        else sum=$({ bytes "$before"; bytes "$node"; bytes "$after"; } | sha256sum); fi
        node=${sum%% *}
    done <"$file"
    if [ "$node" = "$3" ]; then say yes 'the chain of hashes leads to this root'
    else say no "the chain of hashes leads to another root, $node"; fi
}

# ALGORITHM: there is a key of this kind.
fact_nokey() {
    say no 'no key given is of this kind'
    for file in keys/k*/algorithm; do
        [ -f "$file" ] && [ "$(cat "$file")" = "$1" ] && say yes 'there is a key of this kind'
    done
    return 0
}

# SOURCE HEX end|inside: a text is not at the end of a file, or nowhere in it.
fact_absent() {
    locate "$1" || return
    if [ "$3" = end ]; then
        if [ "$(tail -c "$((${#2} / 2))" -- "$file" | hex)" = "$2" ]; then
            say no 'the file ends as a signed one does'
        else
            say yes 'the file does not end as a signed one does'
        fi
        return 0
    fi
    text=$(bytes "$2")
    case $text in *[!\ -~]*) say open 'not a text that the shell can look for'; return 0 ;; esac
    if [ "$texts_of" != "$file" ]; then
        texts=$(tr -cs ' -~' '\n' <"$file") texts_of=$file
    fi
    case $texts in
    *"$text"*) say open "the text $text is in the file; that it belongs to no signature is not confirmed" ;;
    *) say yes "the text $text is nowhere in the file" ;;
    esac
}

# SOURCE START SIZE HEX: the mark of a signature is there.
fact_remains() {
    locate "$1" && is_number "$2" && is_number "$3" || return
    if [ "$(slice "$file" "$2" "$3" | hex)" = "$4" ]; then say yes 'the mark of a signature is there'
    else say no 'there is no mark of a signature there'; fi
}

fact_size() {
    locate "$1" && is_number "$2" || return
    if [ "$(($(wc -c <"$file")))" -eq "$2" ]; then say yes 'the file has this size'
    else say no 'the file has another size'; fi
}

# Set $number to SIZE bytes of FILE at START in the byte order of $order, as far as they are below 2^60.
number_at() {
    number=
    for byte in $(slice "$1" "$2" "$3" | od -An -v -tx1); do
        case $order in 01) number=$byte$number ;; *) number=$number$byte ;; esac
    done
    case $number in ????????????????) case $number in 0*) ;; *) number=0fffffffffffffff ;; esac ;; esac
    number=$((0x${number:-0}))
}

# SOURCE: an ELF file that ends before its header or its section header table (e_shoff, e_shnum) does.
fact_elfcut() {
    locate "$1" || return
    size=$(($(wc -c <"$file"))) class=$(slice "$file" 4 1 | hex) order=$(slice "$file" 5 1 | hex)
    [ "$(slice "$file" 0 4 | hex)" = 7f454c46 ] || { say open 'it does not begin as an ELF file'; return 0; }
    case $class in
    01) header=52 at=32 wide=4 rest=46 ;;
    02) header=64 at=40 wide=8 rest=58 ;;
    *) say yes 'its ELF header has no known class'; return 0 ;;
    esac
    [ "$size" -ge "$header" ] || { say yes 'it ends within the ELF header'; return 0; }
    number_at "$file" "$at" "$wide"
    end=$number
    number_at "$file" "$rest" 2
    entry=$number
    number_at "$file" "$((rest + 2))" 2
    end=$((end + entry * number))
    if [ "$end" -gt "$size" ]; then say yes "its section header table ends at $end, the file at $size"
    else say open 'an ELF file with a damage that this script does not look for'; fi
}

# ---------------------------------------------------------------- one line of "checks"

note() { notes="$notes    $1
"; }

contradict() { outcome=contradicted; note "$1"; }

leave_open() { [ "$outcome" = contradicted ] || outcome=open; note "not confirmed: $1"; }

leave_lacking() { lacking=1; leave_open "$1"; }

trace() { [ -z "$verbose" ] || printf '  %s\n' "$1"; }

line_copy() {
    locate "$1" && part=$file && locate "$2" && is_number "$3" && is_number "$4" || return
    trace "$1 is bytes $3 to $(($3 + $4)) of $2"
    [ "$(sha256sum <"$part")" = "$(slice "$file" "$3" "$4" | sha256sum)" ] ||
        contradict "$1 is not what $2 holds at $3"
}

# The stream again, from its list of ranges; fails for a list that is not one.
rebuild() {
    while read -r kind start size rest; do
        case $kind in
        '#' | '') continue ;;
        copy) from=$1 ;;
        made) from=$3 ;;
        *) return 1 ;;
        esac
        is_number "$start" && is_number "$size" || return 1
        slice "$from" "$start" "$size"
    done <"$2"
}

line_ranges() {
    locate "$1" && stream=$file && locate "$2" && source=$file && locate "$3" && list=$file || return
    made=/dev/null count=0
    if [ "$4" != - ]; then
        locate "$4" || return
        made=$file count=$(($(wc -c <"$file")))
    fi
    trace "$1 is made of the ranges of $2 in $3, and of $count computed bytes"
    if [ "$(rebuild "$source" "$list" "$made" | sha256sum)" != "$(sha256sum <"$stream")" ]; then
        contradict "$1 is not what $2 holds in the ranges of $3"
    elif [ "$count" -gt 0 ]; then
        note "$count of $(($(wc -c <"$stream"))) bytes of $1 are computed, not copied: $4; they are taken as given"
    fi
}

line_unpack() {
    case $1 in gzip | xz | zstd) ;; *) return 1 ;; esac
    locate "$2" && packed=$file && locate "$3" || return
    has "$1" || { leave_lacking "$because, to unpack $2 to $3"; return 0; }
    trace "$2 unpacks to $3"
    sum=$({ "$1" -dc <"$packed" 2>/dev/null; printf %s "$?" >"$work/status"; } | sha256sum)
    [ "$sum" != "$(sha256sum <"$file")" ] || return 0
    if [ "$(cat "$work/status")" = 0 ]; then contradict "$2 does not unpack to $3"
    else leave_open "$1 does not unpack $2"; fi
}

line_fact() {
    group=$1 want=$2 kind=$3
    shift 3
    is_number "$group" || return
    case $want in yes | no | unread) ;; *) return 1 ;; esac
    case $kind in
    digest | rsa | pair | pss | message | gpgv | cms | cmsread | gpgvread | steps | nokey | absent | remains | size | elfcut) ;;
    *) return 1 ;;
    esac
    "fact_$kind" "$@" || return
    trace "$kind $*: $is: $because"
    case " $groups " in
    *" $group "*) ;;
    *) groups="$groups $group"; eval "is_$group= why_$group= want_$group=\$want" ;;
    esac
    eval "before=\$is_$group"
    case $before:$is in
    yes:*) ;;
    :* | *:yes | *:no | open:lack) eval "is_$group=\$is why_$group=\$because" ;;
    esac
}

# Compare all groups of the signature, or of the module, with what they should be.
finish() {
    [ -z "$groups" ] || established=1
    for group in $groups; do
        eval "is=\$is_$group because=\$why_$group want=\$want_$group"
        case $want$is in
        yesyes | nono | unreadno) ;;
        yesno | noyes) contradict "$because" ;;
        *lack) leave_lacking "$because" ;;
        unreadyes) leave_open "$because; why kernels do not is in record.json" ;;
        *) leave_open "$because" ;;
        esac
    done
    groups=
}

line() {
    verb=$1
    shift
    case $verb in
    module) verdict=$1 ;;
    signature) finish; trace "signature $1: $2" ;;
    open) leave_open "$1" ;;
    none) claims_nothing=1 ;;
    copy | ranges | unpack | fact) "line_$verb" "$@" ;;
    *) return 1 ;;
    esac
}

# One module. Sets $outcome: confirmed, contradicted, open, or empty if its verdict claims nothing.
check_module() {
    folder=$1 outcome=confirmed verdict='?' notes='' groups='' texts_of='' claims_nothing='' established=''
    trace "$folder"
    while read -r all; do
        set -f
        # shellcheck disable=SC2086
        set -- $all
        set +f
        line "$@" || contradict "not a check, or a file is missing: $all"
    done <"$folder/checks"
    finish
    [ -z "$claims_nothing" ] || [ -n "$established" ] || [ "$outcome" != confirmed ] || outcome=empty
    case $outcome in
    empty) printf '%s %s: nothing to confirm, since it claims nothing\n' "$folder" "$verdict" ;;
    confirmed) printf '%s %s: confirmed\n' "$folder" "$verdict" ;;
    contradicted) printf '%s %s: CONTRADICTED\n' "$folder" "$verdict" ;;
    open) printf '%s %s: not confirmed\n' "$folder" "$verdict" ;;
    esac
    printf %s "$notes"
}

# ---------------------------------------------------------------- everything

status=0
if ! sha256sum -c --quiet SHA256SUMS; then
    printf 'A file of this bundle is not as it was written.\n'
    status=1
fi
confirmed=0 contradicted=0 open=0 empty=0 readable='' lacking=0
[ $# -gt 0 ] || set -- m[0-9][0-9][0-9][0-9][0-9]*
for each in "$@"; do
    each=${each%/}
    is_name "$each" && [ -f "$each/checks" ] || {
        [ "$each" = 'm[0-9][0-9][0-9][0-9][0-9]*' ] && continue
        printf 'recheck: there is no module %s\n' "$each" >&2
        exit 3
    }
    check_module "$each"
    eval "$outcome=\$(($outcome + 1))"
done
printf '%s confirmed, %s contradicted, %s not confirmed, %s without a claim\n' \
    "$confirmed" "$contradicted" "$open" "$empty"
[ "$contradicted" -eq 0 ] || status=1
[ "$status" -ne 0 ] || [ "$open" -eq 0 ] || status=$((lacking ? 4 : 2))
exit "$status"
