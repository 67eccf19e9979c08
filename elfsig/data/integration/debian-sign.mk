# Debian packages: sign kernel modules after dh_strip, and after anything that debian/rules strips itself, because
# stripping removes signatures silently.
#
# In debian/rules:  include /usr/share/doc/elfsig/integration/debian-sign.mk
# Before that line, set what differs from these defaults:

ELFSIG_KEY ?= /etc/dkms/mok.key
ELFSIG_CERT ?= /etc/dkms/mok.pub
ELFSIG_HASH ?= sha256
ELFSIG_MODULES ?= $(wildcard debian/*/lib/modules debian/*/usr/lib/modules)

execute_after_dh_strip: elfsig-sign-modules

.PHONY: elfsig-sign-modules
elfsig-sign-modules:
	elfsig sign -q --format pkcs7 --hash $(ELFSIG_HASH) --key "$(ELFSIG_KEY)" --cert "$(ELFSIG_CERT)" \
		--in-place $(ELFSIG_MODULES)
	elfsig audit --trust "$(ELFSIG_CERT)" --hash $(ELFSIG_HASH) --format pkcs7 $(ELFSIG_MODULES)
