// htmx binds a dialog 20 ms after it is seen, unless told otherwise: a form that is sent in between
// would go to the page behind it, and nothing would be done.
htmx.config.defaultSettleDelay = 0;
