#!/usr/bin/perl
# The first program of the guest: asks the kernel about every file in /cases, once in each mode, runs the
# programs in /commands, and writes what came of it to the second serial port. No Perl module is used, so that
# the interpreter and its libraries are all there is to bring along.
#
# A line of the report is its fields with tabs between them. The last line is "end", the number of lines in
# front of it and the sum of their bytes, by which the host sees that none was lost.
#
# System calls by number, of x86-64: mount 165, reboot 169, delete_module 176, keyctl 250, finit_module 313.

our ($lines, $sum, %own) = (0, 0);

sub tell_host {
    my $line = join("\t", @_) . "\n";
    $lines++;
    $sum += unpack("%32C*", $line);
    print REPORT $line;
}

sub mount_at {
    my ($kind, $where) = map { "$_\0" } @_;
    my $none = "\0";
    mkdir $_[1];
    syscall(165, $kind, $where, $kind, 0, $none);
}

sub content_of {
    my ($path) = @_;
    open(my $in, "<", $path) or return "";
    local $/;
    my $text = <$in>;
    defined $text ? $text : "";
}

sub put {
    my ($path, $text) = @_;
    open(my $out, ">", $path) or return;
    syswrite($out, $text);
}

sub names_in {
    my ($folder) = @_;
    opendir(my $handle, $folder) or return ();
    sort grep { !/^\./ } readdir($handle);
}

# What the kernel logged since the last call. A record is "priority,number,time,flags;text" and then lines
# for machines; error 32 says that records were overwritten, and the next read continues after them.
sub logged {
    my @texts;
    while (1) {
        my $record;
        my $size = sysread(LOG, $record, 8192);
        next if !defined $size && $! + 0 == 32;
        last if !$size;
        push @texts, $record =~ /^[^;]*;([^\n]*)/;
    }
    @texts;
}

sub loaded { map { (split)[0] } split(/\n/, content_of("/proc/modules")) }

# The errno of loading a file, 0 where it went well.
sub insert {
    my ($path, $flags) = @_;
    my $none = "\0";
    sysopen(my $file, $path, 0) or return $! + 0;
    my $result = syscall(313, fileno($file), $none, $flags);
    $result < 0 ? $! + 0 : 0;
}

sub ask {
    my ($name) = @_;
    my $number = insert("/cases/$name", $name =~ /compressed$/ ? 4 : 0);
    tell_host("answer", $name, $number);
    tell_host("log", $_) for logged();
    for my $module (grep { !$own{$_} } loaded()) {
        my ($taint) = content_of("/sys/module/$module/taint") =~ /(\S*)/;
        my $wanted = "$module\0";
        my $gone = syscall(176, $wanted, 04000) < 0 ? $! + 0 : 0;
        tell_host("loaded", $module, $taint, $gone);
        logged();
    }
}

# A command of keyctl(2) that fills a buffer: KEYCTL_DESCRIBE 6, KEYCTL_READ 11.
sub key_call {
    my ($what, $id, $size) = @_;
    my $room = "\0" x $size;
    my $used = syscall(250, $what, $id, $room, length $room, 0);
    $used < 0 ? "" : substr($room, 0, $used);
}

# The keys of the system's keyrings, whose names begin with a dot, and all keys of /proc/keys.
sub tell_keys {
    for my $line (split(/\n/, content_of("/proc/keys"))) {
        tell_host("key", $line) if $line =~ /asymmetri/;
        my ($id, $type, $what) = (split(" ", $line, 9))[0, 7, 8];
        next unless $type eq "keyring" && $what =~ /^(\.[^:]*)/;
        my $name = $1;
        my @keys = map { key_call(6, $_, 4096) } unpack("l*", key_call(11, hex $id, 65536));
        tell_host("keyring", $name, map { /;([^;\0]*)\0?$/ } grep { !/;(bin|tbs):/ } @keys);
    }
}

# Variables that concern Secure Boot, each as the file that efivarfs shows: attributes first.
sub tell_variables {
    my $folder = "/sys/firmware/efi/efivars";
    mount_at("efivarfs", $folder);
    for my $name (grep { /^(?:Mok|SecureBoot|SetupMode|db-|dbx-)/ } names_in($folder)) {
        tell_host("variable", $name, unpack("H*", content_of("$folder/$name")));
    }
}

# The words of a command are one line, with tabs between them.
sub run {
    my ($number, @words) = @_;
    my $output = "/run/output$number";
    my $child = fork;
    if (!$child) {
        open(STDIN, "<", "/dev/null");
        open(STDOUT, ">", "$output.out");
        open(STDERR, ">", "$output.err");
        %ENV = (PATH => "/usr/bin:/bin", HOME => "/root", LC_ALL => "C.UTF-8", PYTHONPATH => "/site");
        exec { $words[0] } @words;
        exit 127;
    }
    waitpid($child, 0);
    tell_host("command", $? >> 8, @words);
    for my $kind ("out", "err") {
        tell_host($kind, $_) for split(/\n/, content_of("$output.$kind"));
    }
}

mount_at("proc", "/proc");
mount_at("sysfs", "/sys");
mount_at("devtmpfs", "/dev");
mount_at("securityfs", "/sys/kernel/security");
mount_at("tmpfs", "/run");
put("/proc/self/comm", "modprobe");
open(REPORT, ">", "/dev/ttyS1");
print REPORT "\nbegin\n";    # the firmware wrote to this port too
sysopen(LOG, "/dev/kmsg", 04000);
tell_host("release", content_of("/proc/sys/kernel/osrelease") =~ /(\S*)/);
tell_host("compression", content_of("/sys/module/compression") =~ /(\S*)/);
tell_host("boot", $_) for grep { /X\.509|certificate|blacklist|locked ?down|secure ?boot/i } logged();
for my $name (names_in("/before")) {
    tell_host("before", $name, insert("/before/$name", 0));
    logged();
}
$own{$_} = 1 for loaded();
tell_keys();
tell_variables();

my $lock = "/sys/kernel/security/lockdown";
my $enforce = "/sys/module/module/parameters/sig_enforce";
for my $mode (split(/\s+/, content_of("/modes"))) {
    put($lock, "integrity") if $mode eq "lockdown";
    put($enforce, "1") if $mode eq "enforcing";
    my ($locked) = content_of($lock) =~ /\[(\w+)\]/;
    my ($enforced) = content_of($enforce) =~ /(\w)/;
    tell_host("mode", $mode, $locked, $enforced);
    logged();
    ask($_) for names_in("/cases");
}
my $number = 0;
run($number++, split(/\t/, $_)) for split(/\n/, content_of("/commands"));
my @total = ($lines, $sum);
tell_host("end", @total);
close(REPORT);
syscall(169, 0xfee1dead, 672274793, 0x1234567, 0);
