/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest of arm's virt board (see bot/smoke/guest.py), as a raw kernel, for processors that start in 64 bits.
 *
 * QEMU enters a raw kernel at its first word: in 64 bits if the processor has them, else in 32. Both qemu-system-arm
 * and qemu-system-aarch64 have 32 bits by default (cortex-a15), so one image serves both. Its first word is a branch
 * to arm.S, put at 0x100 behind this file, for those that start in A32; in A64 the same word does no harm.
 */
        .set    UART, 0x09000000        /* PL011 */
        .set    FIRST, 0x41000000       /* address of page 0: RAM begins at 0x40000000 */
        .set    END, 0x41800000         /* 2048 pages of 4 KiB */
        .set    PASSES, 8               /* between two Bs; a power of two */

        .inst   0xea00003e              /* A32: b 0x100; A64: ands x30, x1, x0 */
        mov     x1, #UART
        mov     w2, #0x301
        str     w2, [x1, #0x30]         /* control: enable, transmit, receive */

        /* The first word of page i is i. */
        mov     w3, #0
        mov     x4, #FIRST
        mov     x5, #END
fill:   str     w3, [x4]
        add     w3, w3, #1
        add     x4, x4, #4096
        cmp     x4, x5
        b.lo    fill
        mov     w0, #'A'
        bl      print

        /* After n passes it is i + n. */
        mov     w6, #0                  /* n */
pass:   mov     w3, w6
        mov     x4, #FIRST
page:   ldr     w7, [x4]
        cmp     w7, w3
        b.ne    lost
        add     w3, w3, #1
        str     w3, [x4]
        add     x4, x4, #4096
        cmp     x4, x5
        b.lo    page
        add     w6, w6, #1
        tst     w6, #PASSES - 1
        b.ne    pass
        mov     w0, #'B'
        bl      print
        b       pass

lost:   mov     w0, #'E'
        bl      print
halt:   wfi
        b       halt

print:  ldr     w2, [x1, #0x18]         /* flags */
        tbnz    w2, #5, print           /* the transmitter is full */
        str     w0, [x1]
        ret
        .org    0x100
