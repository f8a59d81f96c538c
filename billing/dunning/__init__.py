"""Getting an unpaid renewal paid: its course, the reminders, the page to pay."""
