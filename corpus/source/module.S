/* A module that does next to nothing, for any architecture of GNU as: the sections, symbols, notes and
   relocations that a kernel module has, and no more. Symbols set by the recipe: PTR (4 or 8, size of a
   pointer) and one of AMD64, I386, ARM64, S390X, PPC64. The including file defines the macro vermagic. */

	.macro pointer what
	.if PTR == 8
	.quad \what
	.else
	.long \what
	.endif
	.endm

	.macro invoke what
	.ifdef AMD64
	call \what
	.endif
	.ifdef I386
	call \what
	.endif
	.ifdef ARM64
	bl \what
	.endif
	.ifdef S390X
	brasl %r14, \what
	.endif
	.ifdef PPC64
	bl \what
	nop
	.endif
	.endm

	.section .note.Linux, "a", %note
	.balign 4
	.long 6, 4, 0x101
	.asciz "Linux"
	.balign 4
	.long 0

	.text
	.balign 8
	.type helper, %function
helper:
	invoke _printk
	invoke helper
	.size helper, . - helper
	.globl sample_entry
	.type sample_entry, %function
sample_entry:
	invoke helper
	invoke __stack_chk_fail
	.size sample_entry, . - sample_entry

	.section .init.text, "ax", %progbits
	.balign 8
	.globl init_module
	.type init_module, %function
init_module:
	invoke sample_entry
	invoke _printk
	.size init_module, . - init_module

	.section .exit.text, "ax", %progbits
	.balign 8
	.globl cleanup_module
	.type cleanup_module, %function
cleanup_module:
	invoke _printk
	.size cleanup_module, . - cleanup_module

	.section .rodata, "a", %progbits
	.balign 8
.Ltable:
	pointer sample_entry
	pointer helper
	pointer .Lword
	pointer counter + 16

	.section .rodata.str1.1, "aMS", %progbits, 1
.Lword:
	.asciz "sample: hello"
	.asciz "sample: goodbye"

	.section .modinfo, "a", %progbits
	.asciz "license=Dual BSD/GPL"
	.asciz "description=Sample module of the elfsig corpus, does nothing"
	.asciz "author=the elfsig project"
	.asciz "depends="
	.asciz "name=sample"
	vermagic

	.data
	.balign 8
	.globl counter
	.type counter, %object
counter:
	.long 1, 2, 3, 4, 5, 6, 7, 8
	pointer .Ltable
	pointer jiffies
	.size counter, . - counter

	.section .gnu.linkonce.this_module, "aw", %progbits
	.balign 64
	.globl __this_module
	.type __this_module, %object
__this_module:
	.long 0, 0, 0, 0, 0, 0
	.asciz "sample"
	.balign 64
	pointer init_module
	pointer cleanup_module
	.skip 96
	.size __this_module, . - __this_module

	.bss
	.balign 32
	.lcomm scratch, 512

	.section .debug_info, "", %progbits
	.long 24
	.short 4
	.long 0
	.byte PTR
	pointer sample_entry
	.skip 9

	.ident "elfsig corpus"

	.section .note.GNU-stack, "", %progbits
