/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest of ppc64's pseries (see bot/smoke/guest.py), as firmware: loaded at address 0 and entered at 0x100, in 64
 * bits, big endian, real mode.
 */
        .set    FIRST, 0x0100           /* address of page 0, upper half: 0x1000000 */
        .set    END, 0x0180             /* 2048 pages of 4 KiB */
        .set    PASSES, 8               /* between two Bs; a power of two */
        .set    VTY, 0x7100             /* unit address of the first spapr-vty, upper half: 0x71000000 */
        .set    H_PUT_TERM_CHAR, 0x58

        .org    0x100
        lis     %r16, END

        /* The first word of page i is i. */
        li      %r14, 0
        lis     %r15, FIRST
fill:   stw     %r14, 0(%r15)
        addi    %r14, %r14, 1
        addi    %r15, %r15, 4096
        cmpld   %r15, %r16
        blt     fill
        li      %r18, 'A'
        bl      print

        /* After n passes it is i + n. */
        li      %r17, 0                 /* n */
pass:   mr      %r14, %r17
        lis     %r15, FIRST
page:   lwz     %r19, 0(%r15)
        cmplw   %r19, %r14
        bne     lost
        addi    %r14, %r14, 1
        stw     %r14, 0(%r15)
        addi    %r15, %r15, 4096
        cmpld   %r15, %r16
        blt     page
        addi    %r17, %r17, 1
        andi.   %r19, %r17, PASSES - 1
        bne     pass
        li      %r18, 'B'
        bl      print
        b       pass

lost:   li      %r18, 'E'
        bl      print
halt:   b       halt

print:  li      %r3, H_PUT_TERM_CHAR
        lis     %r4, VTY
        li      %r5, 1                  /* how many characters; they stand in the highest bytes of r6 and r7 */
        sldi    %r6, %r18, 56
        sc      1
        cmpldi  %r3, 0
        bne     print                   /* busy */
        blr
