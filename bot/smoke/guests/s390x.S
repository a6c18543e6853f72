/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest of s390x (see bot/smoke/guest.py), as a raw kernel that is loaded at address 0.
 *
 * Prints by SCLP's event data (ASCII console). Interrupts stay masked: the one that answers each SCLP command is never
 * taken, so a release that loses pending interrupts (before 9.1: QEMU c1991c0984) does not matter here.
 */
        .set    FIRST, 0x0100           /* address of page 0, upper half: 0x1000000 */
        .set    END, 0x0180             /* 2048 pages of 4 KiB */
        .set    PASSES, 256             /* between two Bs; a power of two */
        .set    SCCB, 0x4000            /* in one page, and not in the lowcore */

        .long   0x00080000, 0x80000200  /* the PSW to start with: what follows */
        .org    0x200
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
