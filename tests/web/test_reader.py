"""The reader that comes with the package, in the page."""

from aslx.export import exported
from aslx.serve import __main__ as serve
from aslx.serve import app, interpreter_pool
from aslx.tasks import metrics
from tests import processes
from tests.serve import servers
from tests.web import conftest


def test_people_are_read_in_the_page_as_by_predict(browser, shared):
    folder = shared / "fingerspelling_sample"
    files = sorted(folder.glob("*/*.parquet"))
    printed = processes.ran("predict", *files).lines()
    assert len(printed) == 44
    export = exported.open_reader()
    engine = interpreter_pool.Engine(export, 1)
    with (
        servers.running(app.build(export, engine, serve.Command().limits)) as url,
        conftest.visit(browser, url) as page,
    ):
        names, texts = [], []
        for file in files:
            conftest.read(page, file)
            names += page.locator("#results .name").all_text_contents()
            texts += page.locator("#results .read").all_text_contents()
    read = dict(zip(names, texts, strict=True))
    expected = {str(line["sequence_id"]): line["text"] for line in printed}
    assert read.keys() == expected.keys()
    # Runtimes round int8 products each in their way, and a letter that is a toss-up falls.
    edits = [metrics.distances([expected[name]], [read[name]])[0] for name in expected]
    assert sum(edits) <= 3 and max(edits) <= 1
