"""How money and time move: payments, invoices, subscriptions."""
