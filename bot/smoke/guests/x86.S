/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest of x86 (see bot/smoke/guest.py), as an option ROM.
 *
 * SeaBIOS copies it below 1 MiB and calls it when all devices are initialised, whatever disks and cards there are; it
 * never returns. It needs no drive, so nothing is added to the machine, and no image is locked by two QEMUs.
 */
        .set    FIRST, 0x1000000        /* address of page 0; A20 is on and SeaBIOS keeps nothing here */
        .set    END, 0x1800000          /* 2048 pages of 4 KiB */
        .set    PASSES, 8               /* between two Bs; a power of two */
        .set    COM1, 0x3f8

        .code16
rom:    .byte   0x55, 0xaa, 1           /* an option ROM of one block of 512 bytes, entered at offset 3 */
        cli
        xorl    %ebx, %ebx
        movw    %cs, %bx
        shll    $4, %ebx                /* linear address of the ROM */

        /* To 32 bits, with all memory in one segment. */
        leal    gdt - rom(%ebx), %eax
        pushl   %eax
        pushw   $gdt_end - gdt - 1
        movw    %sp, %bp
        lgdtl   (%bp)
        pushl   $8
        leal    flat - rom(%ebx), %eax
        pushl   %eax
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        lretl

        .code32
flat:   movw    $16, %ax
        movw    %ax, %ds
        movw    %ax, %ss
        movl    $0x7c00, %esp

        /* The first word of page i is i. */
        xorl    %eax, %eax
        movl    $FIRST, %edi
fill:   movl    %eax, (%edi)
        incl    %eax
        addl    $4096, %edi
        cmpl    $END, %edi
        jb      fill
        movb    $'A', %al
        call    print

        /* After n passes it is i + n. */
        xorl    %ebx, %ebx              /* n */
pass:   movl    %ebx, %eax
        movl    $FIRST, %edi
page:   cmpl    %eax, (%edi)
        jne     lost
        incl    %eax
        movl    %eax, (%edi)
        addl    $4096, %edi
        cmpl    $END, %edi
        jb      page
        incl    %ebx
        testb   $PASSES - 1, %bl
        jnz     pass
        movb    $'B', %al
        call    print
        jmp     pass

lost:   movb    $'E', %al
        call    print
halt:   hlt
        jmp     halt

print:  movb    %al, %ah
        movw    $COM1 + 5, %dx
wait:   inb     %dx, %al
        testb   $0x20, %al              /* the transmitter is empty */
        jz      wait
        movb    %ah, %al
        movw    $COM1, %dx
        outb    %al, %dx
        ret

        /* Marked as accessed, so that the processor does not write to them. */
        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff      /* 8: code, 32 bits, base 0, 4 GiB */
        .quad   0x00cf93000000ffff      /* 16: data, the same */
gdt_end:
        .org    512                     /* the last byte makes the sum of all 0: build.py sets it */
