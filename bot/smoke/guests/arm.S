/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest of arm's virt board for processors that start in A32: see aarch64.S, behind which it stands. */
        .arch   armv7-a
        .arm
        .set    UART, 0x09000000        /* PL011 */
        .set    FIRST, 0x41000000       /* address of page 0: RAM begins at 0x40000000 */
        .set    END, 0x41800000         /* 2048 pages of 4 KiB */
        .set    PASSES, 8               /* between two Bs; a power of two */

        mov     r1, #UART
        movw    r2, #0x301
        str     r2, [r1, #0x30]         /* control: enable, transmit, receive */

        /* The first word of page i is i. */
        mov     r3, #0
        mov     r4, #FIRST
        movw    r5, #0
        movt    r5, #END >> 16
fill:   str     r3, [r4]
        add     r3, r3, #1
        add     r4, r4, #4096
        cmp     r4, r5
        blo     fill
        mov     r0, #'A'
        bl      print

        /* After n passes it is i + n. */
        mov     r6, #0                  /* n */
pass:   mov     r3, r6
        mov     r4, #FIRST
page:   ldr     r7, [r4]
        cmp     r7, r3
        bne     lost
        add     r3, r3, #1
        str     r3, [r4]
        add     r4, r4, #4096
        cmp     r4, r5
        blo     page
        add     r6, r6, #1
        tst     r6, #PASSES - 1
        bne     pass
        mov     r0, #'B'
        bl      print
        b       pass

lost:   mov     r0, #'E'
        bl      print
halt:   wfi
        b       halt

print:  ldr     r2, [r1, #0x18]         /* flags */
        tst     r2, #0x20               /* the transmitter is full */
        bne     print
        str     r0, [r1]
        bx      lr
