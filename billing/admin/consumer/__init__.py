"""The sections of the consumer page, one file per subject; `page` puts them together."""
