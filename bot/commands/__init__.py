"""Commands, one group of them a module; `bot.cli` puts them together."""
