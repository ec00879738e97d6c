"""What reads videos is fetched by a command of its own."""

from aslx.readers import setup, video


def test_the_tracker_is_fetched_once_and_its_folder_is_named(run, film):
    del film  # Its fixture skips where no tracker can be had.
    assert str(video.packages()) in run(setup, "video").succeeded()


def test_nothing_else_can_be_fetched(run):
    done = run(setup, "audio")
    assert done.status == 2 and "invalid choice 'audio'" in done.err
