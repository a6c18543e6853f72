"""The guests' sources (NAME.S) and, beside each, the bytes assembled from it (NAME.hex): see `bot.smoke.guest`.

`build` makes the second from the first. Whoever runs the bot needs no assembler.
"""
