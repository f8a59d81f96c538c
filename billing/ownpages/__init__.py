"""The pages on which customers look after their own plan, cards, invoices and keys."""
