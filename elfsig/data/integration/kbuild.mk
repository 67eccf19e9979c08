# kbuild: make modules_install and modules_sign sign with elfsig, without changing the kernel's tree.
#
#   make -f kbuild.mk ELFSIG_KEY=mok.key ELFSIG_CERT=mok.der modules_install
#
# KDIR is a kernel's build directory or its headers, M an out-of-tree module (leave it empty in a kernel's own
# tree). Other variables on the command line are passed on to kbuild: INSTALL_MOD_PATH, INSTALL_MOD_STRIP ...

KDIR ?= /lib/modules/$(shell uname -r)/build
ELFSIG_KEY ?= certs/signing_key.pem
ELFSIG_CERT ?= certs/signing_key.x509
ELFSIG_HASH ?= sha256

modules_install modules_sign:
	$(MAKE) -C "$(KDIR)" $(if $(M),M="$(abspath $(M))") $@ CONFIG_MODULE_SIG_ALL=y \
		cmd_sign='elfsig-sign-file $(ELFSIG_HASH) "$(abspath $(ELFSIG_KEY))" "$(abspath $(ELFSIG_CERT))" $$@'

.PHONY: modules_install modules_sign
