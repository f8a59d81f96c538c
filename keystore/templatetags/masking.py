"""Masks for whole parts of a page."""

from django import template

from keystore.masking import masked_in

register = template.Library()


@register.filter(is_safe=True)
def masked_addresses(html: str) -> str:
    """The part with every e-mail address in it masked, wherever it came from."""
    return masked_in(html)
