// Every mistake: its exit code, one sentence that names what was given, and what to do.
#include <sstream>

#include "cli/cli_testing.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;
using testing::Outcome;
using testing::Words;

struct Mistake {
  Words words;
  int exit_code;
  Words said;  // parts of the first line
  std::string hint = "";
};

class ErrorsTest : public testing::CliTest {
 protected:
  void expect(const Mistake& m) const {
    std::string typed = "fathom";
    for (const std::string& word : m.words) typed += " " + word;
    SCOPED_TRACE(typed);
    const Outcome o = run(m.words);
    EXPECT_EQ(o.exit_code, m.exit_code);
    EXPECT_EQ(o.out, "");
    std::istringstream lines(o.err);
    std::string sentence, hint, more;
    std::getline(lines, sentence);
    std::getline(lines, hint);
    EXPECT_EQ(sentence.rfind("fathom: ", 0), 0u) << o.err;
    for (const std::string& part : m.said) EXPECT_THAT(sentence, HasSubstr(part));
    const bool has_hint = hint.rfind("HINT: ", 0) == 0;
    EXPECT_TRUE(has_hint || (m.exit_code == 1 && hint.empty())) << o.err;
    EXPECT_THAT(hint, HasSubstr(m.hint));
    EXPECT_FALSE(std::getline(lines, more)) << o.err;
  }
};

TEST_F(ErrorsTest, Verbs) {
  expect({{"trian"}, 2, {"unknown verb", "trian"}, "train"});
  expect({{"frobnicate"}, 2, {"frobnicate"}, "fathom --help"});
  expect({{""}, 2, {"unknown verb"}});
  expect({{"sample", "first"}, 2, {"unknown verb \"sample\""}, "`fathom generate`"});
  expect({{"--jsn"}, 2, {"--jsn"}});
  const Outcome bare = run({});
  EXPECT_EQ(bare.exit_code, 2);
  EXPECT_THAT(bare.out + bare.err, HasSubstr("Usage: fathom VERB"));
}

// Settings that only some experiments have; `fathom train` and what goes by its keys.
TEST_F(ErrorsTest, AKeyOfAnotherExperimentIsToldWhoseItIs) {
  const std::string hint = "dag_depth is a key of dag, ";
  expect({{"train", "papingo", "--dag_depth=2"}, 2, {"unknown key --dag_depth"}, hint});
  expect({{"describe", "gpt2ish", "--dag-depth=2"}, 2, {"unknown key --dag-depth"}, hint});
  place_.write("deep.toml", "dag_depth = 2\n");
  expect({{"train", "looped_tiny", "deep.toml"}, 2, {"deep.toml:1: unknown key"}, hint});
  expect({{"train", "ahead_tiny", "--freeze_gpt"},
          2,
          {"unknown key --freeze_gpt"},
          "`fathom train dag --help=dag` explains it"});
  EXPECT_EQ(run({"train", "dag", "--help=dag"}).exit_code, 0);
  expect({{"train", "axm_small", "--dag_dept=2"}, 2, {"unknown key --dag_dept"}, "--help=all"});
  expect({{"train", "dag_predictor_small", "--freeze_gpt"}, 2, {"freeze_gpt is not supported"}});
}

// Only where the verb has the key that is ours for it; without dashes in a file.
TEST_F(ErrorsTest, ANameOfOtherTrainersIsToldWhereItsKeyIs) {
  expect({{"train", "gpt2ish", "--gpus=2"}, 2, {"unknown key --gpus"}, "here that is --nproc"});
  expect({{"describe", "gpt2ish", "--d_model=8"}, 2, {"--d_model"}, "here that is --n_embd"});
  expect({{"bench", "step", "gpt2ish", "--bs=2"}, 2, {"--bs"}, "here that is --batch_size"});
  place_.write("theirs.toml", "d_model = 8\n");
  expect({{"train", "gpt2ish", "theirs.toml"}, 2, {"theirs.toml:1"}, "here that is n_embd"});
  for (const Words& words : {Words{"describe", "gpt2ish", "--gpus=2"},
                             {"bench", "step", "gpt2ish", "--steps=3"},
                             {"bench", "step", "gpt2ish", "--save_every=3"}}) {
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 2);
    EXPECT_THAT(o.err, ::testing::AllOf(HasSubstr("unknown key"),
                                        ::testing::Not(HasSubstr("here that is"))));
  }
}

TEST_F(ErrorsTest, MissingAndSurplusWords) {
  expect({{"describe"}, 2, {"EXPERIMENT is missing"}, "fathom describe gpt2ish"});
  expect({{"train"}, 2, {"EXPERIMENT is missing"}, "fathom train"});
  expect({{"eval"}, 2, {"RUN is missing"}, "fathom eval"});
  expect({{"generate"}, 2, {"RUN is missing"}, "fathom generate"});
  expect({{"prepare"}, 2, {"is missing"}, "fathom prepare"});
  expect({{"list", "everything"}, 2, {"everything"}, "fathom list"});
  expect({{"eval", "one", "two"}, 2, {"two"}, "fathom eval RUN"});
  expect({{"describe", "gpt2hsi"}, 2, {"unknown experiment", "gpt2hsi"}, "gpt2ish"});
  expect({{"describe", "zzzzzz"}, 2, {"zzzzzz"}, "fathom list"});
  expect({{"describe", ""}, 2, {"unknown experiment \"\""}, "fathom list"});
  expect({{"train", "gpt2ish", "no/x.py"}, 2, {"there is no config file \"no/x.py\""}, "ships"});
  expect({{"train", "gpt2ish", "nope"}, 2, {"neither a config file nor an option"}});
  expect({{"train", "no/x.py"}, 2, {"there is no config file"}, "check the path"});
  expect({{"train", "--resume"}, 2, {"EXPERIMENT is missing"}, "train EXPERIMENT --run_name=NAME"});
  expect({{"train", "gpt2ish", "--resume"}, 2, {"needs to know the run"}, "fathom runs"});
  expect({{"describe", "no/such"}, 2, {"no such folder"}});
  expect({{"train", "numbers"}, 2, {"but data"}, "--dataset=numbers"});
  expect({{"train", "gpt2ish_shakepseare"}, 2, {"unknown experiment"}, "gpt2ish_shakespeare"});
}

TEST_F(ErrorsTest, KeysAndValues) {
  const auto refused = [&](const std::string& flag, const Words& said,
                           const std::string& hint = "") {
    expect({{"describe", "gpt2ish", flag}, 2, said, hint});
  };
  refused("--n_layr=3", {"--n_layr"}, "--n_layer");
  refused("--embde-dim=3", {"--embde-dim"}, "--embed_dim");
  refused("--zzzzzz", {"--zzzzzz"}, "--help=all");
  refused("-n", {"-n"});
  refused("--n_layer", {"--n_layer", "value is missing"});
  refused("--n_layer=", {"n_layer", "int"});
  refused("--n_layer=two", {"n_layer = two", "int"});
  refused("--n_layer=2.5", {"n_layer = 2.5", "int"});
  refused("--n_layer=[2]", {"n_layer", "int"});
  refused("--n_layer=0", {"n_layer = 0", "1 <= n_layer"});
  refused("--n_layer=nan", {"n_layer", "nan"});
  refused("--dropout=1", {"dropout = 1", "0 <= dropout < 1"});
  refused("--dropout=-0.1", {"dropout = -0.1", "0 <= dropout < 1"});
  refused("--learning_rate=0", {"learning_rate = 0", "0 < learning_rate"});
  refused("--lr=inf", {"learning_rate"});
  refused("--bias=perhaps", {"bias = perhaps", "allowed: true or false"});
  refused("--bias=", {"bias", "allowed: true or false"});
  refused("--init=torhc", {"init", "torhc", "torch"});
  refused("--dtype=int8", {"dtype", "float32, bfloat16, float16"});
  refused("--vocab_size=65537", {"vocab_size = 65537", "65536"});
  refused("--max_iters=99999999999999999999", {"max_iters"});
  refused("--device=gpu", {"device", "gpu", "cuda"});
  refused("--device=cuda:x", {"device", "cuda:x"});
  refused("--freeze=\xFF", {"freeze", "UTF-8"});
}

TEST_F(ErrorsTest, Contradictions) {
  const auto refused = [&](Words flags, const Words& said) {
    flags.insert(flags.begin(), {"describe", "gpt2ish_shakespeare"});
    expect({flags, 2, said});
  };
  refused({"--n_embd=100", "--n_head=3"}, {"n_embd = 100", "n_head = 3"});
  refused({"--head_bias"}, {"head_bias", "tie_head"});
  refused({"--mini_batch_size=2", "--gradient_accumulation_steps=2"},
          {"mini_batch_size = 2", "gradient_accumulation_steps = 2"});
  refused({"--min_lr=1"}, {"min_lr = 1", "learning_rate = 0.001"});
  refused({"--warmup_iters=10", "--lr_decay_iters=5"}, {"lr_decay_iters = 5", "warmup_iters = 10"});
}

TEST_F(ErrorsTest, ConfigFiles) {
  place_.write("bad.toml", "dropout = 0.1\n\nn_layer = 0\n");
  place_.write("typo.toml", "[backbone]\nn_layr = 2\n");
  place_.write("code.py", "n_layer = 2\nimport os\n");
  place_.write("broken.toml", "n_layer = [1,\n");
  place_.write("moved.toml", "[training]\nn_layer = 2\n");
  std::filesystem::create_directory(place_.path("folder"));
  const auto refused = [&](const std::string& file, const Words& said,
                           const std::string& hint = "") {
    expect({{"describe", "gpt2ish", file}, 2, said, hint});
    expect({{"describe", "gpt2ish", "--config", file}, 2, said, hint});
  };
  refused("no.toml", {"no.toml"}, "check the path");
  refused("", {"\"\""});
  refused("folder", {"folder"});
  refused("bad.toml", {"bad.toml:3: n_layer = 0"});
  refused("typo.toml", {"typo.toml:2: unknown key n_layr"}, "n_layer");
  refused("code.py", {"code.py:2: "}, "not executed");
  refused("broken.toml", {"broken.toml:"});
  refused("moved.toml", {"moved.toml:2: n_layer", "[backbone]", "[training]"});
}

TEST_F(ErrorsTest, Corpora) {
  const std::string preset = "gpt2ish_shakespeare_cpu";
  prepare_text("hail");
  expect({{"train", "gpt2ish"}, 2, {"dataset is missing"}, "hail, rain"});
  // The preset's own corpus is not prepared.
  expect({{"train", preset},
          1,
          {"shakespeare_char", "hail, rain"},
          "fathom prepare shakespeare_char"});
  expect({{"train", preset, "--dataset=rian"}, 1, {"rian", "hail, rain"}, "rain"});
  expect({{"train", preset, "--dataset=rain", "--block_size=2000"},
          1,
          {"rain", "block_size", "2000"},
          "--block_size"});
  expect({{"train", preset, "--dataset=rain", "--vocab_size=21"}, 2, {"vocab_size = 21", "25"}});
  expect({{"describe", preset, "--dataset=rain", "--vocab_size=21"}, 2, {"vocab_size = 21", "25"}});
}

TEST_F(ErrorsTest, NothingIsPrepared) {
  std::filesystem::remove_all(place_.path("data"));
  expect({{"train", "gpt2ish"}, 2, {"dataset is missing"}, "fathom prepare shakespeare_char"});
}

TEST_F(ErrorsTest, Runs) {
  const auto train = [](const std::string& flag) {
    return Words{"train", "gpt2ish_shakespeare_cpu", "--dataset=rain", flag};
  };
  std::filesystem::create_directories(place_.path("runs/old/checkpoints/step-000000001"));
  expect({train("--run_name=old"), 2, {"old", "exists"}, "--force"});
  expect({train("--out_dir=old"), 2, {"old", "exists"}, "--force"});
  expect({train("--run_name=../old"), 2, {"../old"}, "letters"});
  expect({train("--init_from=gpt2-xl"), 2, {"init_from", "gpt2-xl", "scratch"}});
  for (const char* verb : {"eval", "generate"}) {
    expect({{verb, "odl"}, 2, {"odl"}, "did you mean old?"});
    expect({{verb, "old"}, 2, {"old", "no checkpoint"}, "state.json"});
    expect({{verb, "old", "--checkpoint=best"}, 2, {"old", "no checkpoint best"}});
    expect({{verb, "old", "--n_layer=3"}, 2, {"--n_layer"}, std::string("fathom ") + verb});
    expect({{verb, "old", "--threads=-1"}, 2, {"threads = -1", "0 <= threads"}});
  }
  expect({{"generate", "old", "--start="}, 2, {"start is empty"}});
  // A run in an experiment's place, and what is no run in a run's.
  place_.write("runs/old/config.toml", "# gpt2ish_med, as resolved\n");
  const std::string line = "`fathom train gpt2ish_med --run_name=old --resume`";
  expect({{"train", "old"}, 2, {"no experiment, but a run"}, line});
  expect({{"train", "old", "--resume"}, 2, {"no experiment, but a run"}, line});
  expect({{"train", "--resume", "--run_name=old"},
          2,
          {"EXPERIMENT is missing"},
          "no checkpoint to go on from: `fathom train gpt2ish_med --run_name=old --force`"});
  place_.write("notes.txt", "no run");
  std::filesystem::create_directory(place_.path("runs/notes"));
  std::filesystem::rename(place_.path("notes.txt"), place_.path("runs/notes/notes.txt"));
  for (const char* experiment : {"", "gpt2ish"})
    expect({experiment[0] == 0 ? Words{"train", "--resume", "--run_name=notes"}
                               : Words{"train", experiment, "--resume", "--run_name=notes"},
            2,
            {"runs/notes is there and is no run"},
            "another --run_name"});
  expect({{"train", "--resume=False", "--run_name=old"}, 2, {"EXPERIMENT is missing"}, "example"});
  expect({{"train", "--resume", "--run_name=zzz"},
          2,
          {"no run \"zzz\" in runs to go on with"},
          "`fathom runs` shows those that there are; `fathom train EXPERIMENT --run_name=zzz`"});
  expect({{"train", "--resume", "--run_name=olt"}, 2, {"no run \"olt\""}, "did you mean old?"});
  expect({{"train", "gpt2ish", "--resume", "--run_name=zzz"},
          2,
          {"no run \"zzz\" in runs"},
          "`fathom train gpt2ish --run_name=zzz` starts"});
  expect({{"train", "--resume", "--run_name=runs/zzz"}, 2, {"no such folder"}, "newest: old"});
  expect({{"train", "gpt2ish", "--resume=no"}, 2, {"resume = no", "allowed: true or false"}});
  expect({{"train", "gpt2ish", "rain"}, 2, {"is data, not a config file"}, "--dataset=rain takes"});
  expect({{"train", "gpt2ish", "data/rain"}, 2, {"is data, not a config"}, "--dataset=data/rain"});
  expect({{"train", "gpt2ish", "data"}, 2, {"is a folder, not a config file"}, "--dataset=FOLDER"});
  expect({{"train", "gpt2ish", "old"}, 2, {"is a run, not a config file"}, line});
  expect({{"train", "gpt2ish", "gpt2ish_med"}, 2, {"is an experiment, and one is named"}, "leave"});
  std::filesystem::create_directory(place_.path("web"));
  place_.write("web/meta.json", "{}");
  expect({{"train", "gpt2ish", "web"}, 2, {"is a folder, not a config file"}, "--dataset=FOLDER"});
  expect({{"train", "data/rain"}, 2, {"no experiment, but data"}, "--dataset=data/rain"});
  expect({{"train", "data"}, 2, {"no experiment, but a folder"}, "--dataset=FOLDER"});
  expect({{"train", "rain"}, 2, {"no experiment, but data"}, "--dataset=rain"});
  expect({{"train", "rain.txt"}, 2, {"no experiment, but a text"}, "fathom prepare rain.txt"});
  expect({{"eval", "gpt2ish"}, 2, {"is a preset"}, "fathom train gpt2ish --run_name=NAME"});
  expect({{"eval", "data"}, 2, {"neither config.toml nor checkpoints"}, "newest: old"});
  expect({{"eval", "runs/old/checkpoints/last"},
          2,
          {"no such folder"},
          "name that; --checkpoint=NAME"});
  expect({{"plot", "runs/old/x"}, 2, {"no such folder"}, "the run runs/old: name that"});
  expect({{"generate"}, 2, {"RUN is missing"}, "for example"});
  expect({{"generate", "old", "--out_dir=old"}, 2, {"old", "no checkpoint"}, "state.json"});
  expect({{"generate", "old", "--out_dir=runs/old"}, 2, {"old", "no checkpoint"}, "state.json"});
  std::filesystem::copy(place_.path("runs/old"), place_.path("runs/other"),
                        std::filesystem::copy_options::recursive);
  expect({{"generate", "old", "--out_dir=other"}, 2, {"the run is", "is another"}, "leave one"});
  expect({{"generate", "old", "--start=FILE:no.txt"}, 1, {"no.txt"}});
  expect({{"generate", "old", "--temperature=-1"}, 2, {"temperature = -1"}});
  expect({{"generate", "old", "--top_k=0"}, 2, {"top_k = 0"}});
  expect({{"eval", "old", "--device=gpu"}, 2, {"device = gpu", "cuda:N"}});
}

// Data, a text and other files in a config file's, an experiment's and a run's place.
TEST_F(ErrorsTest, WhatIsGivenInsteadIsToldSo) {
  std::filesystem::copy_file(place_.path("data/rain/train.bin"), place_.path("lone.bin"));
  place_.write("plan.json", R"({"a": {"dataset": "rain", "steps": 3}})");
  place_.write("long.txt", std::string(2 << 20, 'x') + "\n");
  place_.write("rain.gz", std::string("\x1f\x8b\x08\0\0\0\0\0\0\3", 10) + std::string(99, '\xfe'));
  place_.write("typo.cfg", "# two lines\n\nn_layer == 3\n");
  place_.write("ok.txt", "n_layer = 3\n");
  struct Given {
    const char *word, *what, *in_config, *elsewhere;
  };
  for (const Given& g : std::vector<Given>{
           {"rain.txt", "a text",
            "`fathom prepare rain.txt` makes data of it, which --dataset=rain",
            "`fathom prepare rain.txt`"},
           {"long.txt", "a text", "`fathom prepare long.txt`", "`fathom prepare long.txt`"},
           {"data/rain", "data", "--dataset=data/rain takes it", "--dataset=data/rain` trains on"},
           {"rain", "data", "--dataset=rain takes it", "--dataset=rain` trains on it"},
           {"data/rain/train.bin", "a file of token ids", "--dataset=data/rain takes it",
            "--dataset=data/rain` trains on it"}}) {
    expect({{"train", "gpt2ish", g.word}, 2, {g.word, g.what, "not a config file"}, g.in_config});
    expect({{"describe", "gpt2ish", g.word}, 2, {g.what, "not a config file"}, g.in_config});
    expect({{"train", g.word}, 2, {"no experiment, but ", g.what}, g.elsewhere});
    expect({{"describe", g.word}, 2, {"no experiment, but ", g.what}, g.elsewhere});
    for (const char* verb : {"eval", "generate", "trace"})
      expect({{verb, g.word}, 2, {"there is no run", "that is ", g.what}, g.elsewhere});
  }
  const auto no_config = [&](const char* word, const char* what, const char* hint) {
    expect(
        {{"train", "gpt2ish", std::string("--config=") + word}, 2, {what, "not a config"}, hint});
  };
  no_config("plan.json", "JSON", "--training_plan=plan.json takes");
  no_config("data/rain/meta.json", "a file of prepared data", "--dataset=data/rain takes");
  no_config("rain.gz", "a gzip file", "zcat");
  no_config("lone.bin", "token ids", "config files are TOML");
  // What may be settings, mistakes included, is read as such.
  expect({{"train", "gpt2ish", "typo.cfg"}, 2, {"typo.cfg:3"}, "a config file is TOML"});
  EXPECT_EQ(run({"describe", "gpt2ish", "ok.txt"}).exit_code, 0);
}

TEST_F(ErrorsTest, Prepare) {
  place_.write("empty.txt", "");
  place_.write("tiny.txt", "a");
  expect({{"prepare", "no.txt"}, 2, {"no.txt"}, "text file"});
  expect({{"prepare", "shakespeare_chra"}, 2, {"shakespeare_chra"}, "shakespeare_char"});
  expect({{"prepare", "empty.txt"}, 1, {"empty"}});
  expect({{"prepare", "tiny.txt"}, 1, {"too short"}});
  expect({{"prepare", "rain.txt", "--tokenizer=word"}, 2, {"tokenizer", "auto, char, byte"}});
  expect({{"prepare", "rain.txt", "--val_fraction=1"}, 2, {"val_fraction = 1", "< 1"}});
  expect({{"prepare", "rain.txt", "--name=a/b"}, 2, {"a/b"}, "a_b"});
  expect({{"prepare", "rain.txt", "--tokenizer=byte"}, 1, {"rain", "different"}, "--force"});
}

}  // namespace
}  // namespace fathom
