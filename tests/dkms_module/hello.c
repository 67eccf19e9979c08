// SPDX-License-Identifier: Apache-2.0
/* The smallest out-of-tree module: what DKMS is to build and sign in the tests. */
#include <linux/module.h>

static int __init hello_init(void)
{
	pr_info("elfsig test module loaded\n");
	return 0;
}

static void __exit hello_exit(void)
{
	pr_info("elfsig test module unloaded\n");
}

module_init(hello_init);
module_exit(hello_exit);

MODULE_DESCRIPTION("Test module of elfsig");
MODULE_LICENSE("Dual MIT/GPL");
MODULE_VERSION("1.0");
