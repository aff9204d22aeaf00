"""Components that are broken on purpose: each fails the check of the kit that it is named after."""
