/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest of s390x (see bot/smoke/guest.py), as a kernel in ELF: releases do not agree on where a raw one is entered.
 *
 * Prints by SCLP's event data (ASCII console). Interrupts stay masked: the one that answers each SCLP command is never
 * taken, so a release that loses pending interrupts (before 9.1: QEMU c1991c0984) does not matter here.
 */
        .set    FIRST, 0x0100           /* address of page 0, upper half: 0x1000000 */
        .set    END, 0x0180             /* 2048 pages of 4 KiB */
        .set    PASSES, 8               /* between two Bs; a power of two */
        .set    HERE, 0x2000            /* where this file is loaded; not 0x800 or 0x10000, which mean Linux to QEMU */
        .set    SCCB, 0x4000            /* in one page, and not in the lowcore */

        /* ELF header and one program header, of 64 and 56 bytes (elf(5)). */
file:   .byte   0x7f, 'E', 'L', 'F', 2, 2, 1, 0         /* 64 bits, big endian */
        .quad   0
        .short  2, 22                   /* executable, for S/390 */
        .long   1
        .quad   HERE + start - file, segment - file, 0  /* entry, program headers, no sections */
        .long   0
        .short  64, 56, 1, 0, 0, 0
segment:
        .long   1, 7                    /* to be loaded */
        .quad   0, HERE, HERE           /* from offset 0 to its address */
        .quad   end - file, end - file, 8

start:
        sam64
        llill   %r8, SCCB
        larl    %r9, sccb
        llilh   %r5, END

        /* The first word of page i is i. */
        lhi     %r3, 0
        llilh   %r4, FIRST
fill:   st      %r3, 0(%r4)
        ahi     %r3, 1
        aghi    %r4, 4096
        clgr    %r4, %r5
        jl      fill
        lhi     %r2, 'A'
        bras    %r14, print

        /* After n passes it is i + n. */
        lhi     %r6, 0                  /* n */
pass:   lr      %r3, %r6
        llilh   %r4, FIRST
page:   cl      %r3, 0(%r4)
        jne     lost
        ahi     %r3, 1
        st      %r3, 0(%r4)
        aghi    %r4, 4096
        clgr    %r4, %r5
        jl      page
        ahi     %r6, 1
        tmll    %r6, PASSES - 1
        jnz     pass
        lhi     %r2, 'B'
        bras    %r14, print
        j       pass

lost:   lhi     %r2, 'E'
        bras    %r14, print
halt:   j       halt

print:  mvc     0(15, %r8), 0(%r9)
        stc     %r2, 14(%r8)
        llilh   %r1, 0x0076
        oill    %r1, 0x0005             /* write event data */
        .insn   rre, 0xb2200000, %r1, %r8       /* servc */
        jnz     print                   /* busy */
        br      %r14

        .balign 8
sccb:   .short  15, 0, 0, 0             /* length of all; function, control mask, response */
        .short  7, 0x1a00, 0            /* length of the event; ASCII console data */
        .byte   0                       /* the character */
        .balign 4
end:
