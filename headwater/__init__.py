"""The command: settings and arguments -> every other room, wired. Nothing imports this room."""
