// A model whose layers answer, through the programs: trained, evaluated layer by layer, and asked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "e2e/program.h"

namespace fathom::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;

class EarlyExitProgram : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    place_ = new Workplace;
    place_->write("rain.txt", small_text());
    ASSERT_EQ(place_->run({"prepare", "rain.txt"}).exit_code, 0);
    training_ = train({"--run_name=early", "--confidence_threshold=0.6"});
    ASSERT_EQ(training_.exit_code, 0) << training_.err;
  }
  static void TearDownTestSuite() { delete place_; }

  static Outcome train(const Words& more) {
    Words words = {"train",           "papingo_small",      "--dataset=rain",  "--n_embd=32",
                   "--block_size=16", "--batch_size=4",     "--max_iters=150", "--warmup_iters=5",
                   "--eval_iters=4",  "--eval_interval=75", "--threads=1",     "--lr=0.003"};
    words.insert(words.end(), more.begin(), more.end());
    return place_->run(words);
  }

  static Workplace* place_;
  static Outcome training_;
};
Workplace* EarlyExitProgram::place_ = nullptr;
Outcome EarlyExitProgram::training_;

TEST_F(EarlyExitProgram, TrainingReportsTheLayers) {
  const size_t begin = training_.out.find("  val: ");
  ASSERT_NE(begin, std::string::npos) << training_.out;
  const std::string line = training_.out.substr(begin, training_.out.find('\n', begin) - begin);
  for (const char* metric : {"objective", "infer", "exit_rate ["})
    EXPECT_THAT(line, HasSubstr(metric));
  EXPECT_LE(line.size(), 79U) << "what a layer would have said is `eval`'s to tell: " << line;
}

TEST_F(EarlyExitProgram, EvaluationSaysWhoAnswered) {
  const auto e = nlohmann::json::parse(place_->run({"eval", "early", "--json"}).out);
  const auto& m = e["metrics"];
  // Learned enough for some tokens to be answered early, and some not.
  EXPECT_GT(m["exit_rate/0"], 0.02);
  EXPECT_GT(m["exit_rate/1"], 0.02);
  EXPECT_NEAR(m["exit_rate/0"].get<double>() + m["exit_rate/1"].get<double>(), 1, 1e-9);
  EXPECT_NEAR(m["exit_correct/0"].get<double>() + m["exit_correct/1"].get<double>(), e["accuracy"],
              1e-9);
  EXPECT_NEAR(m["layer_loss/1"].get<double>(), e["loss"], 1e-6);
  EXPECT_NEAR((m["layer_loss/0"].get<double>() + m["layer_loss/1"].get<double>()) / 2,
              e["objective"], 1e-6);
  const Outcome table = place_->run({"eval", "early"});
  EXPECT_THAT(table.out, HasSubstr("right there"));
  EXPECT_THAT(table.out, HasSubstr("of 2 layers on average\n"));
  EXPECT_THAT(table.out, HasSubstr(" sure of "));
}

// Side by side: the loss of the answers given, not of the last layer.
TEST_F(EarlyExitProgram, EvaluationsTellTheLossOfTheAnswers) {
  const auto metrics =
      nlohmann::json::parse(place_->run({"eval", "early", "--json"}).out)["metrics"];
  const auto rows = nlohmann::json::parse(place_
                                              ->run({"eval", "early", "--json",
                                                     "--evaluations=first: halt_threshold=0; "
                                                     "never: halt_threshold=1.1"})
                                              .out)["evaluations"];
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_NEAR(rows[0]["infer"], metrics["infer"], 1e-6);
  EXPECT_NEAR(rows[1]["infer"], metrics["layer_loss/0"], 1e-6);
  EXPECT_NEAR(rows[2]["infer"], rows[2]["loss"], 1e-6);
  EXPECT_NEAR(rows[1]["difference"],
              rows[1]["infer"].get<double>() - rows[0]["infer"].get<double>(), 1e-9);
}

TEST_F(EarlyExitProgram, GenerationSaysWhoAnsweredBesideTheText) {
  const auto generate = [&](const Words& more) {
    Words words = {"generate", "early", "--max_new_tokens=40", "--start=the "};
    words.insert(words.end(), more.begin(), more.end());
    return place_->run(words);
  };
  const Outcome first = generate({}), last = generate({"--exit=last"});
  EXPECT_THAT(first.err, HasSubstr("layer 0: "));
  EXPECT_THAT(last.err, HasSubstr("layer 1: 100.0 %; 100.0 % of all blocks were computed: exit = "
                                  "last"));
  EXPECT_THAT(first.err, Not(HasSubstr("computed: ")));
  EXPECT_THAT(generate({"--threshold=1"}).err,
              HasSubstr("computed: no layer was sure of a token before the last one"));
  EXPECT_THAT(first.out, Not(HasSubstr("answered")));
  EXPECT_EQ(first.out, generate({"--exit=first_confident"}).out);
  EXPECT_EQ(generate({"--exit=early"}).exit_code, 2);
}

TEST_F(EarlyExitProgram, ATextEndsBeforeItsStop) {
  const auto generate = [&](const Words& more) {
    Words words = {"generate", "early", "--max_new_tokens=60", "--start=the ", "--temperature=0"};
    words.insert(words.end(), more.begin(), more.end());
    return place_->run(words);
  };
  const Outcome whole = generate({});
  EXPECT_THAT(whole.err, HasSubstr("60 tokens in "));
  const std::string stop = whole.out.substr(8, 3);
  ASSERT_EQ(stop.find('\n'), stop.npos) << whole.out;
  const size_t end = whole.out.find(stop, 4);
  const Outcome cut = generate({"--stop=" + stop});
  EXPECT_EQ(cut.out, whole.out.substr(0, end) + "\n");
  EXPECT_EQ(generate({"--stop=" + stop, "--draft=exit"}).out, cut.out);
  EXPECT_EQ(nlohmann::json::parse(generate({"--stop=" + stop, "--json"}).out)["texts"][0],
            whole.out.substr(0, end));
  EXPECT_EQ(generate({"--stop=no such text"}).out, whole.out);
  EXPECT_NE(place_->run({"generate", "early"}).out, "") << "without a start, too";
}

TEST_F(EarlyExitProgram, ThresholdsMayBeOthersThanTheTrainedOnes) {
  const auto rate = [&](const Words& more) {
    Words words = {"eval", "early", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return nlohmann::json::parse(place_->run(words).out)["metrics"]["exit_rate/0"].get<double>();
  };
  EXPECT_EQ(rate({"--threshold=0"}), 1);
  EXPECT_EQ(rate({"--threshold=1.1"}), 0);
  EXPECT_EQ(rate({"--thresholds=[0,0.5]"}), 1);
  EXPECT_GT(rate({"--threshold=0.3"}), rate({}));
  const auto said = [&](const char* word) {
    return place_->run({"generate", "early", "--max_new_tokens=30", word}).err;
  };
  EXPECT_THAT(said("--threshold=0"), HasSubstr("layer 0: 100.0 %; 50.0 % of all blocks"));
  EXPECT_THAT(said("--thresholds=[2,2]"), HasSubstr("layer 1: 100.0 %; 100.0 % of all blocks"));
  const Outcome wrong = place_->run({"eval", "early", "--thresholds=[0.5]"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("thresholds has 1 entry, early has 2 layers"));
  EXPECT_EQ(place_->run({"eval", "early", "--thresholds=[1,1]", "--threshold=1"}).exit_code, 2);
}

TEST_F(EarlyExitProgram, SeveralTextsAreThoseOfOneAfterTheOther) {
  const Outcome all = place_->run({"generate", "early", "--max_new_tokens=20", "--num_samples=3"});
  EXPECT_EQ(all.exit_code, 0) << all.err;
  const Outcome one = place_->run({"generate", "early", "--max_new_tokens=20"});
  EXPECT_EQ(all.out.substr(0, one.out.size()), one.out);
  const std::string between = "\n---------------\n";
  std::vector<std::string> texts;
  for (size_t from = 0; from < all.out.size();) {
    const size_t end = std::min(all.out.find(between, from), all.out.size());
    texts.push_back(all.out.substr(from, end - from));
    from = end + between.size();
  }
  ASSERT_EQ(texts.size(), 3U);
  for (const std::string& text : texts) EXPECT_EQ(text.size(), 1 + 20 + 1U);
  EXPECT_NE(texts[1], texts[0]);
  EXPECT_NE(texts[2], texts[1]);
}

TEST_F(EarlyExitProgram, TextsEndOrSlideWhereTheWindowEnds) {
  const auto length = [&](const Words& more) {
    Words words = {"generate", "early", "--max_new_tokens=60", "--start=the "};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = place_->run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return o.out.size() - 1;
  };
  EXPECT_EQ(length({}), 64U);
  EXPECT_EQ(length({"--overflow=half", "--window=8", "--pinned=2"}), 64U);
  EXPECT_EQ(length({"--overflow=stop"}), 17U) << "16 are seen, and one more is the last answer";
  EXPECT_EQ(place_->run({"generate", "early", "--window=17"}).exit_code, 2);
  EXPECT_EQ(place_->run({"generate", "early", "--window=4", "--pinned=4"}).exit_code, 2);
  const Outcome o =
      place_->run({"generate", "early", "--overflow=stop", "--start=the rain falls on hill"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("the window takes at most 16"));
  EXPECT_EQ(o.out, "");
}

// A table of a run, recounted from its Markdown and compared with its JSON.
TEST_F(EarlyExitProgram, TheTableOfWhoAnsweredCanBeRecounted) {
  const Words words = {"trace", "early", "--start_idx=3", "--sentences=-1"};
  const auto with = [&](const char* word) {
    Words all = words;
    all.push_back(word);
    const Outcome o = place_->run(all);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return o.out;
  };
  const auto json = nlohmann::json::parse(with("--format=json"));
  EXPECT_EQ(json["rows"].size(), 16U) << "N characters give N - 1 rows";
  const std::string text = small_text();
  const auto val = nlohmann::json::parse(slurp(place_->path("data/rain/meta.json")));
  const size_t begin = text.size() - val["splits"]["val"][0]["tokens"].get<size_t>() + 3;
  EXPECT_EQ(json["text"], text.substr(begin, 17));

  std::istringstream lines(with("--format=markdown"));
  std::vector<int> answers(2, 0), right(2, 0);
  size_t rows = 0;
  double nats = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("| ", 0) != 0 || line.rfind("| GT", 0) == 0) continue;
    std::vector<std::string> cells(1);
    for (const char c : line.substr(2)) {
      if (c == '|')
        cells.emplace_back();
      else
        cells.back() += c;
    }
    const int layer = cells[1].find_first_not_of(' ') != std::string::npos ? 0 : 1;
    ++answers[size_t(layer)];
    right[size_t(layer)] += line.find("<u>") == std::string::npos;
    nats -= std::log(std::stod(cells[3]));
    ++rows;
  }
  EXPECT_EQ(rows, 16U);
  EXPECT_EQ(json["answers"], answers);
  EXPECT_EQ(json["right"], right);
  EXPECT_NEAR(json["accuracy"].get<double>(), (right[0] + right[1]) / 16.0, 1e-12);
  EXPECT_NEAR(json["mean_nats"].get<double>(), nats / 16, 0.01);
}

TEST_F(EarlyExitProgram, TraceOptionsAct) {
  const auto text = [&](const Words& more) {
    Words words = {"trace", "early", "--format=json"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = place_->run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return nlohmann::json::parse(o.out)["text"].get<std::string>();
  };
  EXPECT_EQ(text({}), text({"--seed=1337"}));
  EXPECT_NE(text({"--sentences=0"}), text({"--sentences=0", "--seed=8"}));
  EXPECT_EQ(text({"--num_chars=5"}).size(), 5U);
  EXPECT_NE(text({"--start_idx=15"}), text({"--start_idx=15", "--split=train"}));
  EXPECT_EQ(text({"--text=the rain\\n"}), "the rain\n");
  EXPECT_EQ(text({"--text=hills and hill"}), "hills and hill");
  // A corpus with ends of sentences.
  place_->write("said.txt", "the rain falls. " + small_text() + "who? a hill! " + small_text());
  EXPECT_EQ(place_->run({"prepare", "said.txt"}).exit_code, 0);
  const Outcome said = train({"--run_name=said", "--dataset=said", "--max_iters=1"});
  EXPECT_EQ(said.exit_code, 0) << said.err;
  const auto cut = [&](const Words& more) {
    Words words = {"trace", "said", "--format=json"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = place_->run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return nlohmann::json::parse(o.out)["text"].get<std::string>();
  };
  EXPECT_EQ(cut({"--split=train", "--start_idx=0", "--sentences=1"}), "the rain falls.");
  EXPECT_EQ(cut({"--text=a. w. o. i."}), "a. w. o. i.") << "given text is not cut";
  EXPECT_EQ(cut({"--text=. a! o. i.", "--sentences=1"}), ". a!");
  place_->write("long.txt", "the rain? " + small_text());
  EXPECT_EQ(cut({"--text=FILE:long.txt", "--sentences=1"}), "the rain?");
  EXPECT_EQ(place_->run({"trace", "early", "--text="}).exit_code, 2);
  EXPECT_EQ(place_->run({"trace", "early", "--text=FILE:"}).exit_code, 2);
  const Outcome file = place_->run({"trace", "early", "--output=who.html"});
  EXPECT_THAT(file.out, HasSubstr("tokens in who.html"));
  EXPECT_THAT(slurp(place_->path("who.html")), HasSubstr("</html>"));
  // What a link leads to is written, and the link stays.
  std::filesystem::create_symlink("who.html", place_->path("link"));
  EXPECT_EQ(place_->run({"trace", "early", "--output=link"}).exit_code, 0);
  EXPECT_TRUE(std::filesystem::is_symlink(place_->path("link")));
  EXPECT_THAT(slurp(place_->path("who.html")), HasSubstr("right there"));
  const Outcome nowhere = place_->run({"trace", "early", "--output=none/x.html"});
  EXPECT_EQ(nowhere.exit_code, 1);
  EXPECT_THAT(nowhere.err, HasSubstr("there is no folder none"));
  const Outcome terminal = place_->run({"trace", "early"});
  EXPECT_THAT(terminal.out, HasSubstr("right there"));
  // num_chars may be more than the model sees where a sentence ends before.
  EXPECT_EQ(cut({"--split=train", "--start_idx=0", "--sentences=1", "--num_chars=300"}),
            "the rain falls.");
  const Outcome far = place_->run({"trace", "early", "--num_chars=30", "--sentences=0", "--json"});
  EXPECT_EQ(far.exit_code, 0) << far.err;
  EXPECT_THAT(far.err, HasSubstr("the text has 30 tokens and the model sees 16"));
  EXPECT_EQ(nlohmann::json::parse(far.out)["rows"].size(), 29U);
  EXPECT_EQ(place_->run({"trace", "early", "--start_idx=100000"}).exit_code, 2);
}

TEST_F(EarlyExitProgram, EvalAndTraceReportInEveryFormat) {
  const auto written = [&](const char* verb, const std::string& file) {
    const Outcome o = place_->run({verb, "early", "--out=" + file});
    EXPECT_EQ(o.exit_code, 0) << o.err;
    EXPECT_THAT(o.out, HasSubstr(" in " + file));
    return slurp(place_->path(file));
  };
  const std::string picture = written("eval", "layers.svg");
  for (const char* part : {"</svg>", "who answers", "loss of every layer", "right there"})
    EXPECT_THAT(picture, HasSubstr(part));
  EXPECT_THAT(written("eval", "layers.html"), HasSubstr("who answers"));
  EXPECT_THAT(written("eval", "layers.md"), HasSubstr("| layer | loss | accuracy | answers |"));
  EXPECT_THAT(written("trace", "who.svg"), HasSubstr("layer 1"));
  const auto json = nlohmann::json::parse(place_->run({"trace", "early", "--json"}).out);
  EXPECT_EQ(json["answers"].size(), 2U);
}

// The layers that are trained need not begin at 0.
TEST_F(EarlyExitProgram, LayersAreNamedByTheirNumbers) {
  const Outcome o = place_->run(
      {"train", "gpt2ish_shakespeare_cpu", "--dataset=rain", "--n_layer=4", "--n_head=2",
       "--n_embd=16", "--block_size=8", "--max_iters=3", "--eval_interval=2", "--eval_iters=2",
       "--log_interval=1", "--threads=1", "--run_name=gap", "--layer_supervision=[0,1,0,1]"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("\n  val: objective "));
  const Outcome table = place_->run({"eval", "gap"});
  EXPECT_THAT(table.out, HasSubstr("  layer    loss  accuracy\n      1  "));
  EXPECT_THAT(table.out, HasSubstr("\n      3  "));
  EXPECT_THAT(table.out, HasSubstr("\n  objective"));
  const auto e = nlohmann::json::parse(place_->run({"eval", "gap", "--json"}).out);
  EXPECT_EQ(e["metrics"]["layer_loss/3"], e["loss"]);
  EXPECT_NEAR((e["metrics"]["layer_loss/1"].get<double>() + e["loss"].get<double>()) / 2,
              e["objective"], 1e-6);
  const std::string csv = place_->run({"export", "gap", "--metrics=csv"}).out;
  std::string events;
  for (const auto& entry :
       std::filesystem::directory_iterator(place_->path("runs/gap/tensorboard")))
    events += slurp(entry.path());
  for (const char* series : {"eval/val/layer_loss/1", "eval/val/layer_loss/3", "train/objective",
                             "eval/val/objective", "train/layer_accuracy/3"}) {
    EXPECT_THAT(csv.substr(0, csv.find('\n')), HasSubstr(series));
    EXPECT_THAT(events, HasSubstr(series));
  }
  EXPECT_THAT(csv, Not(HasSubstr("layer_loss/0")));
}

// What a checkpoint was chosen by can be looked up.
TEST_F(EarlyExitProgram, TheBestMetricIsASeriesOfTheRun) {
  const auto state =
      nlohmann::json::parse(slurp(place_->path("runs/early/checkpoints/last/state.json")));
  EXPECT_EQ(state["best_metric"], "eval/val/loss");
  std::istringstream lines(place_->run({"export", "early", "--metrics=jsonl"}).out);
  double least = HUGE_VAL;
  for (std::string line; std::getline(lines, line);) {
    const auto row = nlohmann::json::parse(line);
    if (row.contains("eval/val/loss")) least = std::min<double>(least, row["eval/val/loss"]);
  }
  EXPECT_EQ(state["best_value"], least);
}

TEST_F(EarlyExitProgram, KeysWithoutEffectAreSaidOnce) {
  const Outcome o = place_->run({"generate", "early", "--max_new_tokens=1", "--compile=False"});
  EXPECT_THAT(o.err, HasSubstr("compile has no effect"));
  EXPECT_EQ(o.err.find("has no effect"), o.err.rfind("has no effect"));
}

TEST_F(EarlyExitProgram, SettingsComposeWithOtherPresets) {
  const Outcome o =
      place_->run({"train", "gpt2ish_shakespeare_cpu", "--dataset=rain", "--n_layer=2",
                   "--n_head=2", "--n_embd=16", "--block_size=8", "--max_iters=2", "--eval_iters=2",
                   "--run_name=composed", "--halt_rule=max", "--layer_supervision=all", "--quiet"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  const auto e = nlohmann::json::parse(place_->run({"eval", "composed", "--json"}).out);
  EXPECT_TRUE(e["metrics"].contains("exit_rate/1"));
}

TEST_F(EarlyExitProgram, WhatHasNoMeaningIsRefusedWithBothKeys) {
  const Outcome gate = train({"--run_name=never", "--layer_tables=false", "--gate_mode=learned"});
  EXPECT_EQ(gate.exit_code, 2);
  EXPECT_THAT(gate.err, HasSubstr("gate_mode"));
  EXPECT_THAT(gate.err, HasSubstr("layer_tables"));
  EXPECT_THAT(gate.err, HasSubstr("HINT: "));
  const Outcome widths = train({"--run_name=never", "--layer_widths=[32,16]"});
  EXPECT_EQ(widths.exit_code, 2);
  EXPECT_THAT(widths.err, HasSubstr("layer_widths = [32, 16] narrows"));
  const Outcome leak =
      train({"--run_name=leak", "--confidence_mode=gold", "--mask_self=True", "--max_iters=1"});
  EXPECT_THAT(leak.out, HasSubstr("leaks the label"));
}

}  // namespace
}  // namespace fathom::testing
