"""The command line itself: help, mistakes, config files."""

import json

import pytest

COMMANDS = ("generate", "preprocess", "train", "evaluate", "baselines", "recommend", "serve")


@pytest.fixture
def epochs(kindred, dataset, tmp_path):
    """epochs(config, *options): how many epochs train does with that config file, and those options."""

    def run(config, *options):
        (tmp_path / "config.yaml").write_text(config)
        kindred.ok("train", "--config", tmp_path / "config.yaml", "--data-dir", dataset,
                   "--output-dir", tmp_path, *options)
        return len(json.loads((tmp_path / "run.json").read_text())["epochs"])

    return run


@pytest.fixture
def config_fault(kindred, dataset, tmp_path):
    """config_fault(text): what train says of such a config file."""

    def run(text):
        (tmp_path / "config.yaml").write_bytes(text)
        line = kindred.fails(2, "train", "--config", tmp_path / "config.yaml", "--data-dir", dataset,
                             "--output-dir", tmp_path / "out")
        assert "config.yaml" in line
        return line

    return run


# Help


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(kindred, command):
    asked = kindred.run(command, "--help")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert command in asked.stdout and "--config" in asked.stdout
    assert kindred.ok("help", command) == asked.stdout


@pytest.mark.parametrize("args", [["--help"], ["help"]])
def test_the_program_lists_its_commands(kindred, args):
    text = kindred.ok(*args)
    assert all(command in text for command in COMMANDS)


def test_the_version_is_told(kindred):
    name, version = kindred.ok("--version").split()
    assert name == "kindred" and version[0].isdigit()


def test_help_is_given_however_wrong_the_rest_is(kindred):
    assert "--epochs" in kindred.ok("train", "--nonesuch", "--help")


def test_without_a_command_it_says_how_it_is_used(kindred):
    done = kindred.run()
    assert (done.returncode, done.stdout) == (2, "")
    assert "train" in done.stderr


# Mistakes


@pytest.mark.parametrize("args", [["trian"], ["help", "trian"]])
def test_an_unknown_command_gets_a_suggestion(kindred, args):
    done = kindred.run(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert "'trian'" in done.stderr and "'train'" in done.stderr


@pytest.mark.parametrize("command, wrong, right", [
    ("train", "--epoch", "--epochs"), ("train", "--epochs-", "--epochs"),
    ("preprocess", "--min-users", "--min-user"), ("evaluate", "--metric", "--metrics"),
    ("recommend", "--topk", "--top-k"), ("serve", "--prot", "--port"), ("generate", "--sed", "--seed")])
def test_an_unknown_option_gets_a_suggestion(kindred, command, wrong, right):
    line = kindred.fails(2, command, f"{wrong}=1")
    assert f"'{wrong}'" in line and f"'{right}'" in line


def test_an_option_like_no_other_is_refused_without_one(kindred):
    assert "'--zzzzzzzz'" in kindred.fails(2, "train", "--zzzzzzzz")


def test_a_word_too_many_is_refused(kindred):
    assert "surplus" in kindred.fails(2, "train", "surplus")


@pytest.mark.parametrize("command, option, value", [
    ("train", "--epochs", "-1"), ("train", "--epochs", "many"),
    ("train", "--epochs", "3x"), ("train", "--epochs", "1.5"), ("train", "--epochs", "99999999999999999999"),
    ("train", "--epochs", ""), ("train", "--lr", "nan"), ("train", "--lr", "-1"), ("train", "--model", "mff"),
    ("preprocess", "--min-user", "0"), ("preprocess", "--train-ratio", "1.5"),
    ("preprocess", "--split", "temporary"), ("preprocess", "--bad-lines", "mend"),
    ("evaluate", "--k", "10,0"), ("evaluate", "--k", "10,,20"), ("evaluate", "--metrics", "recall,luck"),
    ("recommend", "--top-k", "0"), ("serve", "--port", "65536"), ("serve", "--port", "-1")])
def test_a_value_out_of_range_is_refused(kindred, command, option, value, tmp_path):
    needed = {"preprocess": ["--input", "x.jsonl"], "recommend": ["--output", "x.csv"]}.get(command, [])
    assert option in kindred.fails(2, command, *needed, f"{option}={value}", cwd=tmp_path)


def test_a_value_may_follow_after_an_equals_sign_or_a_blank(kindred, dataset, tmp_path):
    for options in (["--epochs", "2"], ["--epochs=2"]):
        kindred.ok("train", "--data-dir", dataset, "--output-dir", tmp_path, *options)
        assert len(json.loads((tmp_path / "run.json").read_text())["epochs"]) == 2


def test_a_missing_value_is_told(kindred):
    done = kindred.run("train", "--epochs")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "--epochs" in done.stderr


@pytest.mark.parametrize("command, option", [("preprocess", "--input"), ("recommend", "--output"),
                                             ("generate", "--output")])
def test_an_option_that_must_be_given_is_named(kindred, command, option):
    assert option in kindred.fails(2, command)


# Config files and the environment


def test_the_command_line_wins_over_the_config_and_that_over_the_default(epochs):
    default = epochs("seed: 1\n")
    assert epochs(f"epochs: {default + 2}\n") == default + 2
    assert epochs(f"epochs: {default + 2}\n", "--epochs", default + 1) == default + 1


def test_a_section_of_the_config_is_for_its_command(epochs):
    assert epochs("train:\n  epochs: 3\nevaluate:\n  k: 5\n") == 3


@pytest.mark.parametrize("text, named", [
    (b"seed: 1\nepoks: 3\n", "epoks"),
    (b"seed: 1\nepochs: many\n", "epochs"),
    (b"seed: 1\nepochs: -1\n", "epochs"),
    (b"epochs: 1\nepochs: 3\n", "epochs"),
    (b"seed: 1\nepochs: {a: 1}\n", ""),
    (b"seed: 1\nepochs: [1\n", ""),
    (b"seed: 1\n\xff\xfe: 2\n", ""),
])
def test_a_fault_in_the_config_is_named_with_its_file(config_fault, text, named):
    assert named in config_fault(text)


def test_an_unknown_key_is_named_with_its_line_and_a_suggestion(config_fault):
    line = config_fault(b"seed: 1\n\nepoch: 3\n")
    assert "config.yaml:3" in line and "'epochs'" in line


def test_a_config_that_is_not_there_is_named(kindred):
    done = kindred.run("train", "--config", "nonesuch.yaml")
    assert done.returncode in (1, 2)
    assert "nonesuch.yaml" in done.stderr


def test_the_environment_sets_the_options_of_a_server_unless_the_command_line_does(kindred, dataset):
    options = "serve", "--data-dir", dataset
    assert "from-env" in kindred.fails(1, *options, KINDRED_MODEL_PATH="from-env")
    line = kindred.fails(1, *options, "--model-path", "from-line", KINDRED_MODEL_PATH="from-env")
    assert "from-line" in line and "from-env" not in line
    assert "KINDRED_PORT" in kindred.fails(2, *options, KINDRED_PORT="70000")
