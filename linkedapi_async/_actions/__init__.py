"""What an action is: parameters, validation, nesting."""
