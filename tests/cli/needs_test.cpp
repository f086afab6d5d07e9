// Options of the verbs that are given in vain are told; and every whole number that a verb takes
// has limits.
#include <iterator>
#include <regex>
#include <set>

#include "cli/cli_testing.h"
#include "cli/saved_run.h"
#include "fathom/cli/bench/request.h"
#include "fathom/cli/eval/request.h"
#include "fathom/cli/generate/request.h"
#include "fathom/cli/loops/request.h"
#include "fathom/cli/trace/request.h"
#include "fathom/cli/verbs.h"
#include "verb_effect_lists.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::Outcome;
using testing::refusal_of;
using ::testing::StartsWith;
using testing::Words;

// An option of a verb's help: its first line, and what it needs.
struct Option {
  std::string verb, name, facts, needs;
};

std::vector<Option> options(const testing::Workplace& place, const std::string& verb) {
  const std::string help = testing::whole_help(place, verb);
  const std::regex begin("\n  --([a-z0-9_]+) +([^\n]*)");
  std::vector<Option> out;
  for (std::sregex_iterator it(help.begin(), help.end(), begin), end; it != end; ++it) {
    const auto next = std::next(it);
    const auto from = static_cast<size_t>(it->position() + it->length());
    const size_t to = next == end ? help.size() : static_cast<size_t>(next->position());
    const std::string rest = help.substr(from, to - from);
    std::smatch needs;
    std::regex_search(rest, needs, std::regex("\n +needs ([^\n]*)"));
    out.push_back({verb, (*it)[1], (*it)[2], needs.empty() ? "" : needs[1].str()});
  }
  return out;
}

class Needs : public testing::CliTest {
 protected:
  Needs() {
    save("plain", "gpt2ish_shakespeare_cpu");
    save("early", "papingo");
    RunState looped = testing::saved_state("looped_tiny", "rain", 30);
    looped.config.model.halting.rule = HaltRule::kMax;
    testing::save_state("round", "last", looped);
    RunState counted = testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 30);
    counted.config.data.dataset = "numbers";
    testing::save_state("counted", "last", counted);
  }
  static void save(const std::string& run, const std::string& preset) {
    testing::save_state(run, "last", testing::saved_state(preset, "rain", 30));
  }
  static std::vector<std::string> notices(const std::string& verb, const Words& words) {
    if (verb == "generate") return parse_generate(words)->notices;
    if (verb == "trace") return parse_trace(words)->notices;
    if (verb == "loops") return parse_loops(words)->notices;
    if (verb == "bench") return parse_bench(words)->notices;
    return parse_eval(words)->notices;
  }
};

struct InVain {
  const char *verb, *key, *needs;
  Words in_vain, acts;  // the words after the verb
};

const std::vector<InVain>& in_vain() {
  const char* const kDraws = "do_sample = true";
  const char* const kSplit = "a text of the corpus, not --text";
  const char* const kOverflows = "a text that outgrows its window";
  const auto drawn = [&](const char* key, const char* option) {
    return InVain{
        "generate", key, kDraws, {"plain", "--do_sample=False", option}, {"plain", option}};
  };
  const auto of_split = [&](const char* key, const char* option) {
    return InVain{"trace", key, kSplit, {"plain", "--text=rain", option}, {"plain", option}};
  };
  const auto of_window = [](const char* key, const char* option) {
    return InVain{"loops",
                  key,
                  "a text of the corpus, not --text or --prompts",
                  {"round", "--text=rain", option},
                  {"round", option}};
  };
  const auto of_loops = [](const char* key, const char* needs, const char* option,
                           const char* given) {
    return InVain{"loops", key, needs, {"round", option}, {"round", given, option}};
  };
  const auto of_numbers = [](const char* key, const char* option) {
    return InVain{"eval", key, "dataset = numbers", {"plain", option}, {"counted", option}};
  };
  static const std::vector<InVain> all = {
      of_numbers("numbers_depth", "--numbers_depth=2"),
      of_numbers("value_range", "--value_range=[-1,1]"),
      of_numbers("max_decimal_places", "--max_decimal_places=1"),
      of_numbers("max_digits", "--max_digits=3"),
      of_numbers("min_operations", "--min_operations=2"),
      of_numbers("max_operations", "--max_operations=2"),
      of_numbers("number_operations", "--number_operations=add"),
      of_numbers("english_conversion_rate", "--english_conversion_rate=1"),
      of_numbers("shuffle_labels", "--shuffle_labels"),
      of_numbers("stream_share", "--stream_share=1"),
      InVain{"eval",
             "stream_labels",
             "dataset = numbers",
             {"plain", "--stream_labels"},
             {"counted", "--stream_labels", "--stream_share=1"}},
      of_numbers("evaluation_size", "--evaluation_size=10"),
      of_window("dataset", "--dataset=rain"),
      of_window("split", "--split=train"),
      of_window("texts", "--texts=2"),
      of_loops("block_only", "jacobian = true", "--block_only", "--jacobian"),
      of_loops("jacobian_tokens", "jacobian = true", "--jacobian_tokens=2", "--jacobian"),
      of_loops("jacobian_iterations", "jacobian = true", "--jacobian_iterations=2", "--jacobian"),
      of_loops("rule", "a sweep", "--rule=kl", "--sweep=0.1"),
      of_loops("threshold", "a sweep", "--threshold=0.5", "--sweep=0.1"),
      of_loops("thresholds", "a sweep", "--thresholds=[1,1,1]", "--sweep=0.1"),
      drawn("temperature", "--temperature=0.5"),
      drawn("top_k", "--top_k=5"),
      drawn("top_p", "--top_p=0.5"),
      drawn("min_p", "--min_p=0.5"),
      drawn("seed", "--seed=3"),
      {"generate",
       "threshold",
       "exit = first_confident",
       {"early", "--exit=last", "--threshold=0.5"},
       {"early", "--threshold=0.5"}},
      {"generate",
       "thresholds",
       "exit = first_confident",
       {"early", "--exit=last", "--thresholds=[1,1,1,1]"},
       {"early", "--thresholds=[1,1,1,1]"}},
      {"generate",
       "draft_tokens",
       "draft = shift or exit",
       {"early", "--draft_tokens=3"},
       {"early", "--draft_tokens=3", "--draft=exit", "--do_sample=False", "--overflow=half"}},
      {"generate",
       "exit",
       "a model with a halt_rule",
       {"plain", "--exit=last"},
       {"early", "--exit=last"}},
      {"generate",
       "pinned",
       "overflow = recompute or half",
       {"plain", "--pinned=3", "--overflow=stop"},
       {"plain", "--pinned=3"}},
      {"generate",
       "pinned",
       kOverflows,
       {"plain", "--pinned=3", "--max_new_tokens=15"},
       {"plain", "--pinned=3", "--max_new_tokens=16"}},
      {"generate",
       "overflow",
       kOverflows,
       {"plain", "--overflow=half", "--max_new_tokens=5"},
       {"plain", "--overflow=half", "--max_new_tokens=5", "--window=4"}},
      of_split("dataset", "--dataset=rain"),
      of_split("split", "--split=train"),
      of_split("start_idx", "--start_idx=3"),
      of_split("seed", "--seed=3"),
      {"trace",
       "seed",
       "start_idx = -1",
       {"plain", "--start_idx=3", "--seed=3"},
       {"plain", "--seed=3"}},
      {"trace",
       "candidates",
       "format = json or html",
       {"plain", "--candidates=5"},
       {"plain", "--candidates=5", "--output=a.html"}},
  };
  return all;
}

TEST_F(Needs, WhatIsGivenInVainIsTold) {
  for (const InVain& v : in_vain()) {
    SCOPED_TRACE(std::string(v.verb) + " " + v.key + " without " + v.needs);
    EXPECT_THAT(notices(v.verb, v.in_vain),
                ElementsAre(AllOf(StartsWith(std::string(v.key) + " = "),
                                  HasSubstr(std::string("has no effect: it needs ") + v.needs))));
    EXPECT_THAT(notices(v.verb, v.acts), IsEmpty());
  }
}

TEST_F(Needs, EveryOptionActsAlwaysOrSaysWhatItNeeds) {
  const std::set<std::string> always(std::begin(kVerbActsAlways), std::end(kVerbActsAlways));
  std::set<std::string> told = {"prepare vocab_size", "prepare timeout",  // below
                                "prepare rows",       "prepare prompt_field", "prepare truth_field",
                                "prepare text_field", "prepare title_field",  "prepare seed",
                                "prepare specials",   "prepare max_bytes"};
  // Without a text that grows (drafts_test.cpp).
  for (const char* key :
       {"stop", "end_of_text", "num_samples", "max_new_tokens", "do_sample", "repetition_penalty"})
    told.insert(std::string("generate ") + key);
  for (const char* key : {"reduce_dtype", "shard_optimizer"})  // ranks_test.cpp
    told.insert(std::string("train ") + key);
  for (const InVain& v : in_vain()) told.insert(std::string(v.verb) + " " + v.key);
  RunConfig config;
  FieldList run;
  add_fields(run, config);
  std::set<std::string> names;
  for (const Verb& verb : verbs()) {
    const bool trains = verb.name == "train" || verb.name == "describe" || verb.name == "bench" ||
                        verb.name == "plan";
    for (const Option& option : options(place_, verb.name)) {
      if (trains && run.find(option.name) != nullptr) continue;
      const std::string name = verb.name + " " + option.name;
      names.insert(name);
      EXPECT_EQ(option.needs.empty(), always.count(name) == 1)
          << name << ": .needs(...) in its list, or its name in tests/effect_lists.h";
      EXPECT_EQ(option.needs.empty(), told.count(name) == 0) << name;
    }
  }
  for (const std::string& name : always) EXPECT_EQ(names.count(name), 1u) << name << " is gone";
}

TEST_F(Needs, PrepareTellsOnTheConsole) {
  const auto said = [&](const Words& more) {
    Words words = {"prepare", "rain.txt", "--name=new", "--force"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return o.err;
  };
  EXPECT_THAT(said({"--vocab_size=300"}),
              HasSubstr("note: vocab_size = 300 has no effect: it needs tokenizer = bpe"));
  EXPECT_THAT(said({"--timeout=3"}), HasSubstr("timeout = 3 has no effect: it needs a download"));
  EXPECT_THAT(said({"--specials=text"}),
              HasSubstr("specials = text has no effect: it needs byte pairs"));
  EXPECT_THAT(said({"--specials=text", "--tokenizer=bpe"}), Not(HasSubstr("no effect")));
  EXPECT_THAT(said({"--max_bytes=3"}),
              HasSubstr("max_bytes = 3 has no effect: it needs a download of documents"));
  EXPECT_THAT(said({"--vocab_size=258", "--tokenizer=bpe"}), Not(HasSubstr("no effect")));
  const std::string of_rows = said({"--rows", "--prompt_field=a", "--truth_field=b",
                                    "--text_field=c", "--title_field=d", "--seed=3"});
  for (const char* key : {"rows = true", "prompt_field = \"a\"", "truth_field = \"b\"",
                          "text_field = \"c\"", "title_field = \"d\"", "seed = 3"})
    EXPECT_THAT(of_rows,
                HasSubstr(key + std::string(" has no effect: it needs a file of JSON lines")));
}

TEST_F(Needs, BenchTellsWhatItDoesNotDo) {
  const auto told = [](const char* what, const char* option) {
    return notices("bench", {what, "quickstart", option});
  };
  EXPECT_THAT(told("decode", "--learning_rate=0.1"), ElementsAre(HasSubstr("needs bench step")));
  EXPECT_THAT(told("ops", "--dtype=bfloat16"), ElementsAre(HasSubstr("needs bench step")));
  EXPECT_THAT(told("decode", "--batch_size=3"), ElementsAre(HasSubstr("bench step or ops")));
  EXPECT_THAT(told("step", "--eval_interval=3"), ElementsAre(HasSubstr("nothing is evaluated")));
  EXPECT_THAT(told("step", "--learning_rate=0.1"), IsEmpty());
  EXPECT_THAT(told("ops", "--batch_size=3"), IsEmpty());
  EXPECT_THAT(told("ops", "--device=cpu"), ElementsAre(HasSubstr("bench step or decode")));
  EXPECT_THAT(told("decode", "--device=cpu"), IsEmpty());
  EXPECT_THAT(told("decode", "--n_layer=2"), IsEmpty());
}

// Before the engine is loaded, and by both programs in the same words.
TEST_F(Needs, ThresholdsWhereNothingHaltsAreRefusedAtOnce) {
  for (const char* verb : {"eval", "generate", "trace"}) {
    const Error e = refusal_of([&] { notices(verb, {"plain", "--threshold=0.5"}); });
    EXPECT_THAT(e.what(), HasSubstr("no token of plain halts before the last layer")) << verb;
  }
}

TEST_F(Needs, EveryWholeNumberOfAVerbHasLimits) {
  const std::regex bounded("-?[0-9.e+]+ <=? [a-z_]+ <=? [0-9.e+]+$");
  std::set<std::string> seen;
  for (const Verb& verb : verbs())
    for (const Option& option : options(place_, verb.name)) {
      if (option.facts.rfind("int", 0) != 0 && option.facts.rfind("list of int", 0) != 0) continue;
      seen.insert(option.name);
      EXPECT_TRUE(std::regex_search(option.facts, bounded))
          << verb.name << " --" << option.name << ": " << option.facts;
    }
  for (const char* name : {"threads", "max_batches", "num_samples", "repeats", "shard_tokens"})
    EXPECT_EQ(seen.count(name), 1u) << name;
}

TEST_F(Needs, HugeNumbersAreRefusedByName) {
  const auto refused = [&](const Words& words, const std::string& key) {
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 2) << o.err;
    EXPECT_THAT(o.err, HasSubstr(key + " = ")) << o.err;
    EXPECT_THAT(o.err, Not(HasSubstr("fault of fathom")));
  };
  for (const char* huge : {"100000000", "9223372036854775807", "4294967297"}) {
    for (const char* verb : {"eval", "generate", "trace"})
      refused({verb, "plain", std::string("--threads=") + huge}, "threads");
    refused({"train", "quickstart", "--dataset=rain", std::string("--threads=") + huge}, "threads");
  }
  for (const auto& [verb, key] : {std::pair{"eval", "batch_size"},
                                  {"eval", "max_batches"},
                                  {"generate", "max_new_tokens"},
                                  {"generate", "num_samples"},
                                  {"generate", "top_k"},
                                  {"generate", "window"},
                                  {"generate", "pinned"},
                                  {"generate", "draft_tokens"},
                                  {"generate", "lookahead"},
                                  {"generate", "seed"},
                                  {"trace", "num_chars"},
                                  {"trace", "start_idx"},
                                  {"trace", "sentences"},
                                  {"trace", "candidates"}})
    refused({verb, "plain", std::string("--") + key + "=9223372036854775807"}, key);
}

TEST_F(Needs, WhatCannotFitThisMachineIsRefusedBeforeItIsMade) {
  const Outcome texts = run({"generate", "plain", "--num_samples=4096", "--max_new_tokens=1e9"});
  EXPECT_EQ(texts.exit_code, 2);
  EXPECT_THAT(texts.err, AllOf(HasSubstr("4,096 texts of 1,000,000,000 new tokens do not fit"),
                               HasSubstr("num_samples or max_new_tokens")));
  const Outcome step = run({"bench", "step", "quickstart", "--n_embd=1048576", "--n_layer=100"});
  EXPECT_EQ(step.exit_code, 2);
  EXPECT_THAT(step.err, HasSubstr("moments do not fit: at least"));
}

}  // namespace
}  // namespace fathom
