// Every option of every verb changes something: those that show without torch are used here.
#include <chrono>
#include <functional>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "cli/effects_testing.h"
#include "cli/saved_run.h"
#include "fathom/cli/compare/request.h"
#include "fathom/cli/generate/request.h"
#include "fathom/cli/plot/request.h"
#include "fathom/cli/sweep/request.h"
#include "fathom/cli/trace/request.h"
#include "fathom/cli/train/request.h"
#include "fathom/cli/verbs.h"
#include "fathom/track/run_store.h"
#include "fathom/train/recipe/training_plan.h"
#include "verb_effect_lists.h"

namespace fathom {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::Outcome;
using testing::refusal_of;
using testing::Words;
namespace fs = std::filesystem;

// "verb key" of every option that `--help` shows, without those of the run itself.
std::set<std::string> options_of_verbs(const testing::Workplace& place) {
  RunConfig config;
  FieldList run;
  add_fields(run, config);
  std::set<std::string> names;
  for (const Verb& verb : verbs()) {
    const std::string help = testing::whole_help(place, verb.name);
    const std::regex option("\n  --([a-z0-9_]+) ");
    const bool trains = verb.name == "train" || verb.name == "describe" || verb.name == "bench" ||
                        verb.name == "plan";
    for (std::sregex_iterator it(help.begin(), help.end(), option), end; it != end; ++it)
      if (!trains || run.find((*it)[1]) == nullptr) names.insert(verb.name + " " + (*it)[1].str());
  }
  return names;
}

class VerbEffects : public testing::EffectsTest {
 protected:
  TrainRequest train(const Words& more) const {
    Words words = {"gpt2ish_shakespeare_cpu", "--dataset=rain"};
    words.insert(words.end(), more.begin(), more.end());
    return *parse_train(words);
  }
  // A plan of two stages, a and b.
  std::string plan_file() const {
    place_.write("plan.json", R"({"a": {"steps": 10}, "b": {"steps": 900}})");
    return place_.path("plan.json");
  }
  void make_checkpoints() const {
    for (const char* name : {"best", "last"})
      testing::save_state("old", name, testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 30));
  }

  void run_effects();
  void resume_effects();
  void generate_effects();
  void trace_effects();
  void plot_effects();
  void compare_effects();
  void sweep_effects();
};

void VerbEffects::run_effects() {
  for (const Words& words : {Words{"list"}, {"describe", "gpt2ish"}, {"doctor"}})
    effects_[words[0] + " json"] = [this, words] {
      Words more = words;
      more.push_back("--json");
      EXPECT_FALSE(json::accept(run(words).out));
      EXPECT_TRUE(json::accept(run(more).out));
    };
  effects_["describe config"] = [&] {
    place_.write("a.toml", "n_layer = 3");
    EXPECT_THAT(run({"describe", "gpt2ish", "--config=a.toml"}).out, HasSubstr("n_layer = 3\n"));
  };
  effects_["plan config"] = [&] {
    place_.write("a.toml", "learning_rate = 0.125");
    EXPECT_THAT(run({"plan", plan_file(), "--dataset=rain", "--block_size=16", "--decay_lr=False",
                     "--config=a.toml"})
                    .out,
                HasSubstr("0.125"));
  };
  effects_["plan json"] = [&] {
    const Words words = {"plan", plan_file(), "--dataset=rain", "--block_size=16"};
    Words more = words;
    more.push_back("--json");
    EXPECT_FALSE(json::accept(run(words).out));
    EXPECT_TRUE(json::accept(run(more).out));
  };
  effects_["train training_plan"] = [&] {
    EXPECT_EQ(train({"--training_plan=" + plan_file(), "--block_size=16"}).stages.size(), 2U);
    EXPECT_EQ(train({"--block_size=16"}).stages.size(), 1U);
  };
  effects_["train config"] = [&] {
    place_.write("a.toml", "n_layer = 3");
    EXPECT_EQ(train({"--config=" + place_.path("a.toml").string()}).config.model.backbone.n_layer,
              3);
  };
  for (const char* key : {"run_name", "out_dir"})
    effects_[std::string("train ") + key] = [this, key] {
      EXPECT_EQ(train({std::string("--") + key + "=mine"}).options.run_name, "mine");
    };
  effects_["train init_from"] = [&] {
    EXPECT_NO_THROW(train({"--init_from=scratch"}));
    EXPECT_ANY_THROW(train({"--init_from=resume"}));
  };
  effects_["train exp"] = [&] {
    EXPECT_EQ(
        parse_train({"--exp=test_runner", "--dataset=rain", "--context_len=16"})->config.preset,
        "test_runner");
  };
  effects_["train describe"] = [&] {
    EXPECT_EQ(run({"train", "gpt2ish", "--describe", "--n_layer=2"}).out,
              run({"describe", "gpt2ish", "--n_layer=2"}).out);
  };
  resume_effects();
  effects_["train force"] = [&] {
    fs::create_directories(place_.path("runs/taken/checkpoints/last"));
    EXPECT_ANY_THROW(train({"--run_name=taken"}));
    EXPECT_NO_THROW(train({"--run_name=taken", "--force"}));
  };
  effects_["train nproc"] = [&] {  // what they do: e2e/ranks_test.cpp
    EXPECT_EQ(train({"--nproc=2", "--gradient_accumulation_steps=2"}).options.nproc, 2);
    EXPECT_ANY_THROW(train({"--nproc=2", "--gradient_accumulation_steps=3"}));
  };
  const auto chosen = [](const std::string& folder) { return fs::path(folder).filename(); };
  effects_["generate checkpoint"] = [=] {
    make_checkpoints();
    EXPECT_EQ(chosen(parse_generate({"old"})->model.folder), "best");
    const std::string path = place_.path("runs/old/checkpoints/last");
    EXPECT_EQ(parse_generate({"old", "--checkpoint=" + path})->model.folder, path);
  };
  effects_["generate start"] = [&] {
    make_checkpoints();
    EXPECT_EQ(parse_generate({"old", "--start=ROMEO:\\n\\tHo"})->start, "ROMEO:\n\tHo");
    place_.write("start.txt", "from \\n a file");
    const std::string file = place_.path("start.txt");
    EXPECT_EQ(parse_generate({"old", "--start=FILE:" + file})->start, "from \\n a file");
  };
}

void VerbEffects::resume_effects() {
  const auto resumed = [=](Words more) {
    more.insert(more.begin(), {"gpt2ish_shakespeare_cpu", "--run_name=old", "--resume"});
    return parse_train(more)->resume;
  };
  const auto make_run = [=](const std::string& fingerprint = "") {
    RunState state = testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 30);
    if (!fingerprint.empty()) state.corpus_fingerprint = fingerprint;
    return testing::save_state("old", "last", state);
  };
  effects_["train ignore_optimizer"] = [=] {
    make_run();
    EXPECT_ANY_THROW(train({"--run_name=new", "--ignore_optimizer"}));
    const auto request = parse_train(
        {"gpt2ish_shakespeare_cpu", "--run_name=old", "--resume", "--ignore_optimizer"});
    EXPECT_TRUE(request->options.ignore_optimizer);
  };
  effects_["train override_plan"] = [=] {
    RunState state = testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 30);
    TrainingPlan plan;
    plan.name = "old";
    plan.stages = {{"b", {{"dataset", "rain"}}, {Budget::Unit::kSteps, 900}}};
    state.stage = "b";
    state.plan = std::make_shared<const json>(plan);
    testing::save_state("old", "last", state);
    const Words words = {"gpt2ish_shakespeare_cpu", "--run_name=old", "--resume",
                         "--training_plan=" + plan_file()};
    Words more = words;
    more.push_back("--override_plan");
    EXPECT_EQ(parse_train(words)->stages.size(), 1U);
    EXPECT_EQ(parse_train(more)->stages.size(), 2U);
    fs::remove_all(place_.path("runs/old"));
  };
  effects_["train resume"] = [=] {
    make_run();
    EXPECT_ANY_THROW(train({"--run_name=old"}));
    EXPECT_EQ(resumed({})->state.step, 30);
  };
  effects_["train checkpoint"] = [=] {
    make_run();
    testing::save_state("old", "best", testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 20));
    EXPECT_EQ(resumed({"--checkpoint=best"})->state.step, 20);
    fs::remove_all(place_.path("runs/old"));
  };
  effects_["train accept_new_data"] = [=] {
    make_run("0123456789abcdef");
    EXPECT_ANY_THROW(resumed({}));
    EXPECT_TRUE(resumed({"--accept_new_data"})->new_data);
  };
  effects_["train reset_history"] = [=] {
    make_run();
    EXPECT_EQ(resumed({"--reset_history"})->state.step, 0);
  };
  effects_["train initial_model"] = [=] {
    fs::remove_all(place_.path("runs/old"));
    const std::string folder = make_run();
    EXPECT_EQ(train({"--run_name=new", "--initial_model=old"}).initial_checkpoint, folder);
    EXPECT_EQ(train({"--run_name=new"}).initial_checkpoint, "");
  };
  effects_["train initial_part"] = [=] {  // what it finds: recipe/initial_part_test.cpp
    EXPECT_THAT(refusal_of([&] {
                  train({"--run_name=new", "--initial_part=old"});
                }).what(),
                HasSubstr("has no part that another model's weights could become"));
  };
}

// What they do to a table: e2e/early_exit_test.cpp.
void VerbEffects::trace_effects() {
  const auto parsed = [=](const Words& more) {
    make_checkpoints();
    Words words = {"old"};
    words.insert(words.end(), more.begin(), more.end());
    return *parse_trace(words);
  };
  effects_["trace checkpoint"] = [=] {
    EXPECT_EQ(fs::path(parsed({"--ckpt=last"}).model.folder).filename(), "last");
  };
  effects_["trace policy"] = [=] {
    EXPECT_EQ(parsed({"--policy=halt_rule=margin"}).model.policy, "halt_rule=margin");
    EXPECT_ANY_THROW(parsed({"--policy=halt_rule=bernoulli", "--threshold=0.5"}));
  };
  effects_["trace dataset"] = [=] { EXPECT_EQ(parsed({"--dataset=sea"}).dataset, "sea"); };
  effects_["trace split"] = [=] { EXPECT_EQ(parsed({"--split=train"}).split, "train"); };
  effects_["trace text"] = [=] { EXPECT_EQ(parsed({"--text=a\\nb"}).text, "a\nb"); };
  effects_["trace start_idx"] = [=] { EXPECT_EQ(parsed({"--start_idx=7"}).start_idx, 7); };
  effects_["trace num_chars"] = [=] { EXPECT_EQ(parsed({"--num_chars=9"}).num_chars, 9); };
  effects_["trace sentences"] = [=] { EXPECT_EQ(parsed({"--sentences=-1"}).sentences, -1); };
  effects_["trace seed"] = [=] { EXPECT_EQ(parsed({"--seed=5"}).seed, 5); };
  effects_["trace candidates"] = [=] { EXPECT_EQ(parsed({"--candidates=5"}).candidates, 5); };
  effects_["trace format"] = [=] {
    EXPECT_EQ(parsed({"--format=html"}).output.format, report::Format::kHtml);
  };
  effects_["trace json"] = [=] {
    EXPECT_EQ(parsed({"--json"}).output.format, report::Format::kJson);
  };
  effects_["trace output"] = [=] { EXPECT_EQ(parsed({"--output=x"}).output.output, "x"); };
}

// What they do to a text: decode/sampler_test.cpp and decode/decoder_test.cpp.
void VerbEffects::generate_effects() {
  const auto parsed = [=](const char* word) {
    make_checkpoints();
    return *parse_generate({"old", word});
  };
  effects_["generate policy"] = [=] {
    EXPECT_EQ(parsed("--policy=halt_threshold=0.5").model.policy, "halt_threshold=0.5");
    for (const auto& [policy, said] : {std::pair{"loop_halt_rule=kl", "loop_groups = []"},
                                       std::pair{"n_layer=3", "no matter of one pass"},
                                       std::pair{"batches=3", "more than settings"},
                                       std::pair{"halt_threshold=1; halt_threshold=2", "policy = "},
                                       std::pair{"halt_rule", "no key=value"}})
      EXPECT_THAT(testing::refusal_of([&, flag = std::string("--policy=") + policy] {
                    parsed(flag.c_str());
                  }).what(),
                  ::testing::HasSubstr(said));
  };
  effects_["generate window"] = [=] { EXPECT_EQ(parsed("--window=7").window.capacity, 7); };
  effects_["generate pinned"] = [=] { EXPECT_EQ(parsed("--pinned=3").window.pinned, 3); };
  effects_["generate overflow"] = [=] {
    EXPECT_EQ(parsed("--overflow=half").window.overflow, Overflow::kHalf);
  };
  effects_["generate do_sample"] = [=] {
    EXPECT_TRUE(parsed("--do_sample=False").sampler.greedy);
    EXPECT_FALSE(parsed("--do_sample").sampler.greedy);
  };
  effects_["generate out_dir"] = [=] {
    make_checkpoints();
    EXPECT_EQ(parse_generate({"--out_dir=somewhere/old"})->model.run, "old");
  };
  effects_["generate stop"] = [=] { EXPECT_EQ(parsed("--stop=\\n\\n").stop, "\n\n"); };
  effects_["generate end_of_text"] = [=] {
    EXPECT_FALSE(parsed("--end_of_text=False").end_of_text);
  };
  effects_["generate top_p"] = [=] { EXPECT_EQ(parsed("--top_p=0.5").sampler.top_p, 0.5); };
  effects_["generate min_p"] = [=] { EXPECT_EQ(parsed("--min_p=0.5").sampler.min_p, 0.5); };
  // Of a model that looks ahead; what they do: decode/drafting_test.cpp.
  const auto ahead = [](const Words& more) {
    RunState state = testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 30);
    state.config.model.ahead.predict_ahead = true;
    state.vocab_size += state.config.model.ahead.shift_tokens();
    testing::save_state("far", "last", state);
    Words words = {"far"};
    words.insert(words.end(), more.begin(), more.end());
    return *parse_generate(words);
  };
  effects_["generate draft"] = [=] {
    EXPECT_EQ(ahead({"--draft=shift", "--do_sample=False"}).draft, Draft::kShift);
  };
  effects_["generate draft_tokens"] = [=] {
    EXPECT_EQ(ahead({"--draft=shift", "--do_sample=False", "--draft_tokens=3"}).draft_tokens, 3);
  };
  effects_["generate lookahead"] = [=] { EXPECT_EQ(ahead({"--lookahead=3"}).lookahead, 3); };
  effects_["generate show_layers"] = [=] { EXPECT_EQ(parsed("--show_layers=2").show_layers, 2); };
  effects_["generate json"] = [=] { EXPECT_TRUE(parsed("--json").json); };
  effects_["generate repetition_penalty"] = [=] {
    EXPECT_EQ(parsed("--repetition_penalty=1.5").sampler.repetition_penalty, 1.5);
  };
}

// What they do to a comparison: compare_test.cpp.
void VerbEffects::compare_effects() {
  const auto parsed = [](const char* word) { return *parse_compare({"old", word}); };
  effects_["compare metric"] = [=] { EXPECT_EQ(parsed("--metric=a").metric, "a"); };
  effects_["compare by"] = [=] { EXPECT_EQ(parsed("--by=flops").by, CompareBy::kFlops); };
  effects_["compare group"] = [=] { EXPECT_EQ(parsed("--group=word").group, GroupBy::kWord); };
  effects_["compare baseline"] = [=] { EXPECT_EQ(parsed("--baseline=b").baseline, "b"); };
  effects_["compare better"] = [=] {
    EXPECT_TRUE(parsed("--metric=loss").lower_is_better());
    EXPECT_FALSE(parsed("--metric=eval/val/accuracy").lower_is_better());
    EXPECT_FALSE(parsed("--better=higher").lower_is_better());
  };
  effects_["compare confidence"] = [=] { EXPECT_EQ(parsed("--confidence=0.9").confidence, 0.9); };
  effects_["compare early"] = [=] { EXPECT_EQ(parsed("--early=0.2").early, 0.2); };
  effects_["compare level"] = [=] { EXPECT_EQ(parsed("--level=2.5").level, 2.5); };
  effects_["compare last"] = [=] { EXPECT_EQ(parsed("--last=3").last, 3); };
  effects_["compare format"] = [=] {
    EXPECT_EQ(parsed("--format=html").output.format, report::Format::kHtml);
  };
  effects_["compare json"] = [=] {
    EXPECT_EQ(parsed("--json").output.format, report::Format::kJson);
  };
  effects_["compare output"] = [=] { EXPECT_EQ(parsed("--out=x").output.output, "x"); };
}

// What they do to its runs: sweep_test.cpp, and e2e/sweep_test.cpp.
void VerbEffects::sweep_effects() {
  const auto parsed = [](const char* word) { return *parse_sweep({"a.toml", word}); };
  effects_["sweep dry_run"] = [=] { EXPECT_TRUE(parsed("--dry_run").dry_run); };
  effects_["sweep jobs"] = [=] { EXPECT_EQ(parsed("--jobs=2").jobs, 2); };
  effects_["sweep quiet"] = [=] { EXPECT_TRUE(parsed("--quiet").quiet); };
}

// What they do to a picture: plot_test.cpp.
void VerbEffects::plot_effects() {
  const auto parsed = [](const char* word) { return *parse_plot({"old", word}); };
  effects_["plot metric"] = [=] { EXPECT_EQ(parsed("--metric=a, b").metrics().size(), 2U); };
  effects_["plot x"] = [=] { EXPECT_EQ(parsed("--x=tokens").x, PlotX::kTokens); };
  effects_["plot log_x"] = [=] { EXPECT_TRUE(parsed("--log_x").log_x); };
  effects_["plot log_y"] = [=] { EXPECT_TRUE(parsed("--log_y").log_y); };
  effects_["plot format"] = [=] {
    EXPECT_EQ(parsed("--format=svg").output.format, report::Format::kSvg);
  };
  effects_["plot json"] = [=] { EXPECT_EQ(parsed("--json").output.format, report::Format::kJson); };
  effects_["plot output"] = [=] { EXPECT_EQ(parsed("--out=x").output.output, "x"); };
}

TEST_F(VerbEffects, EachOptionChangesSomething) {
  run_effects();
  generate_effects();
  trace_effects();
  plot_effects();
  compare_effects();
  sweep_effects();
  expect_all([](const std::string& verb) {
    return verb != "prepare" && verb != "eval" && verb != "import" && verb != "export" &&
           verb != "loops" && verb != "sizes" && verb != "runs" &&
           verb != "dag";  // in files of their own
  });
}

TEST_F(VerbEffects, TheListsHoldEveryOptionOnce) {
  std::multiset<std::string> listed(std::begin(kVerbPlanEffects), std::end(kVerbPlanEffects));
  listed.insert(std::begin(kVerbEngineEffects), std::end(kVerbEngineEffects));
  const std::set<std::string> options = options_of_verbs(place_);
  for (const std::string& name : options)
    EXPECT_EQ(listed.count(name), 1u)
        << name << " needs a test of its effect, and its name in tests/effect_lists.h";
  for (const std::string& name : listed) EXPECT_EQ(options.count(name), 1u) << name << " is gone";
}

// The one of RunConfig's plan effects that needs a prepared corpus.
TEST_F(VerbEffects, DatasetDecidesTheVocabulary) {
  const auto vocab = [&](const std::string& flag) {
    return json::parse(run({"describe", "test_runner", "--json", flag}).out)["vocab_size"];
  };
  EXPECT_EQ(vocab("--dataset=rain"), 25);
  EXPECT_EQ(vocab("--dataset=shakespeare_char"), 65) << "known, though not prepared";
  EXPECT_EQ(vocab("--dataset="), 50257);
}

}  // namespace
}  // namespace fathom
