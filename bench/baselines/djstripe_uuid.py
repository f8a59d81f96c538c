"""Where dj-stripe's endpoint is, known to whoever asks it and to itself."""

UUID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
