"""Reconciliation: is what we have what Stripe has, and do our own layers follow from it?"""
