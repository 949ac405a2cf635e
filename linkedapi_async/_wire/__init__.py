"""The JSON form of workflows and completions."""
