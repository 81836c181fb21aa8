"""The field's protocols: what each one scores, on which cases, with which prompts."""
