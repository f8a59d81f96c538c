"""Stripe's refusals: status, type, code and the parameter at fault."""

from typing import Any

from sandbox.check import Problem

# Refused before execution starts, so Stripe does not keep them under the idempotency key.
NEVER_SAVED = {"resource_missing", "rate_limit", "parameter_unknown", "parameter_missing"} | {
    "parameter_invalid_empty",
    "parameter_invalid_integer",
    "parameter_invalid",
}


class StripeError(Exception):
    """An answer that is not 2xx."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str = "invalid_request_error",
        **more: object,
    ) -> None:
        super().__init__(message)
        self.status = status
        fields = {"type": type, "message": message, "code": code, "param": param, **more}
        self.error = {key: value for key, value in fields.items() if value is not None}

    @property
    def is_saved(self) -> bool:
        if self.error["type"] == "idempotency_error" or self.status in (401, 429, 501):
            return False
        return self.error.get("code") not in NEVER_SAVED


def missing(kind: str, id: str, *, param: str = "id", status: int = 404) -> StripeError:
    words = kind.replace("test_helpers.", "").replace("_", " ").replace(".", " ")
    return StripeError(status, f"No such {words}: '{id}'", code="resource_missing", param=param)


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> StripeError:
    return StripeError(400, message, code=code, param=param)


def from_problem(problem: Problem) -> StripeError:
    """What Stripe says of this parameter."""
    first, *rest = problem.path or ("body",)
    name = first + "".join(f"[{part}]" for part in rest)
    if problem.kind == "unknown":
        message, code = f"Received unknown parameter: {name}", "parameter_unknown"
    elif problem.kind == "missing":
        message, code = f"Missing required param: {name}.", "parameter_missing"
    elif problem.value == "":
        message = f"You passed an empty string for '{name}'. We assume empty values are an "
        message += f"attempt to unset a parameter; however '{name}' cannot be unset."
        code = "parameter_invalid_empty"
    elif problem.kind == "choice":
        message = f"Invalid {name}: must be one of {problem.wanted}"
        return invalid(message, param=name)
    elif problem.wanted == "int":
        message, code = f"Invalid integer: {problem.value}", "parameter_invalid_integer"
    else:
        message, code = f"Invalid {problem.wanted}: {problem.value}", "parameter_invalid"
    return invalid(message, param=name, code=code)


def idempotency_mismatch(key: str) -> StripeError:
    message = "Keys for idempotent requests can only be used with the same parameters they were "
    message += f"first used with. Try using a key other than '{key}' if you meant to execute a "
    return StripeError(400, message + "different request.", type="idempotency_error")


def idempotency_running(key: str) -> StripeError:
    message = "There is currently another in-progress request using this Idempotent Key "
    message += f"(that probably means you submitted twice, and the other is still going): {key}"
    return StripeError(409, message, code="idempotency_key_in_use", type="idempotency_error")


def card_error(message: str, code: str, decline_code: str | None, **more: Any) -> StripeError:
    """`more` are further fields of StripeError."""
    return StripeError(
        402, message, code=code, type="card_error", decline_code=decline_code, **more
    )
