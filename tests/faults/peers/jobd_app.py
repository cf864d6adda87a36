"""jobd."""

import sys

import work

import jobd


@jobd.job(name="Work")
def run(token: str, seconds: float, how: str) -> None:
    """The job."""
    work.work(token, seconds, how)


if __name__ == "__main__":
    jobd.configure_client(lambda config: setattr(config, "redis", {"url": work.URL}))
    run.perform_async(sys.argv[1], float(sys.argv[2]), sys.argv[3])
