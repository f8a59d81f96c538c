"""Coupons and promotion codes: offered, redeemed, given by staff, and seen again at Stripe."""
