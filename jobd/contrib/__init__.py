"""jobd inside of other people's frameworks; nothing else of jobd imports what is here."""
