// Shift tokens in a model: what it learns from them, and what decoding makes of them. Drafts
// change how many passes a text takes, never the text.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "fathom/data/shifted.h"
#include "fathom/decode/generate.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/model/depth_model.h"
#include "fathom/model/spec/early_policy.h"
#include "fathom/train/checkpoint.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

using DraftTexts = std::vector<std::vector<int64_t>>;

constexpr int64_t kDraftIds = 11, kDraftShifts = 5, kDraftWindow = 12;

ModelConfig ahead_config(ModelConfig config = untied_config()) {
  config.backbone.block_size = kDraftWindow;
  config.ahead.predict_ahead = true;
  config.ahead.max_shift = kDraftShifts;
  return config;
}

std::unique_ptr<NextTokenModel> drafting_model(const ModelConfig& config,
                                               at::ScalarType dtype = at::kFloat,
                                               uint64_t seed = 1) {
  auto model = model_of(config, kDraftIds + config.ahead.shift_tokens(), dtype, seed);
  disturb(*model, 0.3);
  return model;
}

GenerateOptions greedy_options(const ModelConfig& config, const Window& window) {
  GenerateOptions o;
  o.sampler.greedy = true;
  o.window = window;
  o.vocab_size = kDraftIds;
  o.max_new_tokens = 26;
  if (config.ahead.predict_ahead) o.shift_id = shift_id(kDraftIds, 1);
  return o;
}

struct GrownTexts {
  DraftTexts tokens, layers;
  GenerateReport report;
};

GrownTexts texts_grown(const NextTokenModel& model, const GenerateOptions& options,
                       const DraftTexts& texts = {{1}, {7, 2, 9, 4}, {3, 3}}) {
  GrownTexts g;
  g.tokens.resize(texts.size());
  g.layers.resize(texts.size());
  g.report = generate(model, texts, options, [&](size_t text, int64_t token, int64_t layer) {
    g.tokens[text].push_back(token);
    g.layers[text].push_back(layer);
  });
  return g;
}

// Rows of random tokens as training has them, with the shifts 1, 2, ...
TokenBatch random_ahead_rows(int64_t B, int64_t L) {
  const Tensor tokens = random_tokens({B, L + kDraftShifts}, kDraftIds, 5);
  TokenBatch windows = empty_batch(B, L - 1);
  WholeNumbers ahead;
  std::vector<int64_t> shifts;
  for (int64_t b = 0; b < B; ++b) {
    const int64_t* row = tokens.data_ptr<int64_t>() + b * (L + kDraftShifts);
    std::copy(row, row + L - 1, windows.tokens.begin() + b * (L - 1));
    std::copy(row + 1, row + L, windows.targets.begin() + b * (L - 1));
    ahead.insert(ahead.end(), row + L, row + L + kDraftShifts - 1);
    shifts.push_back(b % kDraftShifts + 1);
  }
  windows.columns.push_back({"ahead", ahead, kDraftShifts - 1});
  return shifted_rows(windows, shifts, kDraftIds);
}

TEST(ShiftTokens, TheLossIsOfEveryTokenButTheShiftToken) {
  const ModelConfig config = ahead_config();
  const auto model = drafting_model(config, at::kDouble);
  const Batch batch = to_batch(random_ahead_rows(7, kDraftWindow), at::kCPU);
  const at::NoGradGuard no_grad;
  const std::vector<double> logits = numbers(model->logits(batch.tokens_BT));
  const int64_t V = kDraftIds + kDraftShifts;
  double sum = 0;
  int64_t count = 0;
  for (int64_t b = 0; b < 7; ++b)
    for (int64_t t = 1; t < kDraftWindow; ++t, ++count) {
      const double* row = logits.data() + (b * kDraftWindow + t) * V;
      double total = 0;
      for (int64_t v = 0; v < V; ++v) total += std::exp(row[v]);
      sum += std::log(total) - row[batch.targets_BT[b][t].item<int64_t>()];
    }
  EXPECT_NEAR(mean_loss(*model, batch), sum / double(count), 1e-12);
  EXPECT_EQ(count, 7 * (kDraftWindow - 1));
  // With the shift token of 1 the targets are those of a language model, a slot further.
  Batch first = batch;
  first.tokens_BT = batch.tokens_BT.narrow(0, 0, 1);
  first.targets_BT = batch.targets_BT.narrow(0, 0, 1);
  EXPECT_TRUE(at::equal(first.targets_BT.narrow(1, 1, kDraftWindow - 2),
                        first.tokens_BT.narrow(1, 2, kDraftWindow - 2)));
}

TEST(ShiftTokens, AreRowsOfTheTableAndMoreCannotBeAsked) {
  const auto rows = [](const Model& model) {
    for (const Parameter& p : model.parameters().all())
      if (p.spec.name == "token_table.0.weight") return p.tensor.size(0);
    return int64_t{0};
  };
  EXPECT_EQ(rows(*drafting_model(ahead_config())) - rows(*drafting_model(untied_config())),
            kDraftShifts);
}

// Whatever has been dropped, what is seen begins with the shift token.
TEST(ShiftTokens, StayInFrontOfWindowsThatMove) {
  const ModelConfig config = ahead_config();
  const auto model = drafting_model(config, at::kDouble);
  for (const int64_t pinned : {0, 2}) {
    const Window window = {pinned, kDraftWindow, Overflow::kRecompute};
    const GrownTexts g = texts_grown(*model, greedy_options(config, window));
    DraftTexts texts = {{1}, {7, 2, 9, 4}, {3, 3}};
    for (size_t b = 0; b < 3; ++b)
      for (const int64_t token : g.tokens[b]) {
        std::vector<int64_t> seen = {kDraftIds};
        const auto room = size_t(kDraftWindow - 1), kept = size_t(pinned);
        std::vector<int64_t>& text = texts[b];
        if (text.size() <= room) {
          seen.insert(seen.end(), text.begin(), text.end());
        } else {
          seen.insert(seen.end(), text.begin(), text.begin() + pinned);
          seen.insert(seen.end(), text.end() - int64_t(room - kept), text.end());
        }
        const Tensor tokens = index_tensor(seen, at::kCPU).unsqueeze(0);
        const Tensor scores_V = model->next_token(tokens, Exit::kLast).scores_NV[0];
        ASSERT_EQ(token, scores_V.narrow(0, 0, kDraftIds).argmax().item<int64_t>());
        text.push_back(token);
      }
    EXPECT_GT(texts[0].size(), size_t(2 * kDraftWindow));
  }
}

TEST(ShiftTokens, LookAheadIsTheLastTokensAnswerToThatShift) {
  const ModelConfig config = ahead_config();
  const auto model = drafting_model(config, at::kDouble);
  const GenerateOptions o = greedy_options(config, {0, kDraftWindow, Overflow::kRecompute});
  const std::vector<int64_t> text = {7, 2, 9, 4};
  for (int64_t s = 1; s <= kDraftShifts; ++s) {
    const Tensor tokens = index_tensor({kDraftIds + s - 1, 7, 2, 9, 4}, at::kCPU).unsqueeze(0);
    const at::NoGradGuard no_grad;
    const Tensor expected = model->logits(tokens)[0][4].narrow(0, 0, kDraftIds);
    const Tensor given = scores_ahead(*model, text, s, o).to(at::kDouble);
    EXPECT_LE((given - expected).abs().max().item<double>(), 1e-5) << s;
  }
  GenerateOptions without = o;
  without.shift_id.reset();
  EXPECT_THAT(caught([&] { scores_ahead(*model, text, 2, without); }).what(),
              HasSubstr("looking 2 tokens ahead"));
}

// Of models that know nothing, so that most drafts are wrong.
void expect_the_same_text(const ModelConfig& config, Draft draft) {
  Policy early;
  if (draft == Draft::kExit) early = early_policy(config);
  int64_t confirmed = 0, refuted = 0;
  for (const uint64_t seed : {1, 2})
    for (const Overflow overflow : {Overflow::kRecompute, Overflow::kHalf, Overflow::kStop})
      for (const Exit exit : {Exit::kFirstConfident, Exit::kLast}) {
        if (config.halting.rule == HaltRule::kNone && exit == Exit::kLast) continue;
        const auto model = drafting_model(config, seed == 1 ? at::kFloat : at::kDouble, seed);
        GenerateOptions o = greedy_options(config, {int64_t(seed) - 1, kDraftWindow, overflow});
        o.exit = exit;
        if (seed == 2) o.sampler.repetition_penalty = 1.3;
        const GrownTexts plain = texts_grown(*model, o);
        EXPECT_EQ(plain.report.drafted, 0);
        o.draft = draft;
        o.early = &early;
        for (const int64_t M : {1, 3, 5}) {
          SCOPED_TRACE(::testing::Message() << "seed " << seed << " overflow " << int(overflow)
                                            << " exit " << int(exit) << " M " << M);
          o.draft_tokens = M;
          const GrownTexts drafted = texts_grown(*model, o);
          EXPECT_EQ(drafted.tokens, plain.tokens);
          EXPECT_EQ(drafted.layers, plain.layers);
          EXPECT_EQ(drafted.report.tokens, plain.report.tokens);
          EXPECT_LE(drafted.report.confirmed, drafted.report.drafted);
          EXPECT_EQ(drafted.report.early_passes > 0, draft == Draft::kExit);
          confirmed += drafted.report.confirmed;
          refuted += drafted.report.drafted - drafted.report.confirmed;
        }
        for (const std::vector<int64_t>& text : plain.tokens)
          for (const int64_t token : text) EXPECT_LT(token, kDraftIds) << "a shift token";
      }
  EXPECT_GT(confirmed, 0);
  EXPECT_GT(refuted, 0);
}

TEST(Drafts, OfShiftsGiveTheTextOfATokenAtATime) {
  expect_the_same_text(ahead_config(), Draft::kShift);
}

TEST(Drafts, OfShiftsGiveTheTextWhereTokensLeaveEarly) {
  expect_the_same_text(ahead_config(exit_config(0.3, 3)), Draft::kShift);
}

TEST(Drafts, OfTheFirstReadoutGiveTheTextOfATokenAtATime) {
  ModelConfig config = exit_config(0.3, 3);
  config.backbone.block_size = kDraftWindow;
  expect_the_same_text(config, Draft::kExit);
}

TEST(Drafts, OfAModelWhoseLayersAgreeAreAllRight) {
  ModelConfig config = exit_config(0.9, 3);
  config.backbone.block_size = 64;
  const auto model = drafting_model(config);
  {
    const at::NoGradGuard no_grad;
    // Every head says 4, and the layers have nothing to add.
    for (const Parameter& p : model->parameters().all())
      if (p.spec.name.rfind("head.", 0) == 0 && p.tensor.dim() == 1) p.tensor[4] += 1000;
  }
  const Policy early = early_policy(config);
  GenerateOptions o = greedy_options(config, {0, 64, Overflow::kStop});
  o.exit = Exit::kLast;
  o.max_new_tokens = 25;
  o.draft = Draft::kExit;
  o.draft_tokens = 4;
  o.early = &early;
  const GrownTexts g = texts_grown(*model, o, {{1}});
  EXPECT_EQ(g.tokens[0], std::vector<int64_t>(25, 4));
  EXPECT_EQ(g.report.confirmed, g.report.drafted);
  EXPECT_EQ(g.report.passes, 5) << "five tokens a pass";
  EXPECT_EQ(g.report.early_passes, 20);
  EXPECT_EQ(g.report.tokens_per_pass(), 5);
}

// A text that has ended is asked no more.
TEST(Drafts, TokensOfAPassAreOfTheTextsThatAreOpen) {
  const ModelConfig config = ahead_config();
  const auto model = drafting_model(config);
  GenerateOptions o = greedy_options(config, {0, kDraftWindow, Overflow::kStop});
  o.max_new_tokens = 8;
  o.ends = [](size_t text, int64_t) { return text == 1; };
  const GrownTexts g = texts_grown(*model, o, {{1}, {2}});
  EXPECT_EQ(g.report.tokens, 9);
  EXPECT_EQ(g.report.passes, 8);
  EXPECT_EQ(g.report.asked, 9);
  EXPECT_EQ(g.report.tokens_per_pass(), 1);
  o.draft = Draft::kShift;
  o.draft_tokens = 3;
  o.shift_id = shift_id(config.backbone.vocab_size.value_or(5), 1);
  const GrownTexts drafted = texts_grown(*model, o, {{1}, {2}});
  EXPECT_EQ(drafted.report.asked, drafted.report.passes + 1);
}

TEST(Drafts, AreRefusedWhereTheyHaveNoMeaning) {
  const ModelConfig config = ahead_config();
  const auto model = drafting_model(config);
  const auto refused = [&](const std::function<void(GenerateOptions&)>& change) {
    GenerateOptions o = greedy_options(config, {0, kDraftWindow, Overflow::kRecompute});
    o.draft = Draft::kShift;
    change(o);
    const Error e = caught([&] { texts_grown(*model, o); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    return std::string(e.what());
  };
  EXPECT_THAT(refused([](auto& o) { o.sampler.greedy = false; }), HasSubstr("the sampler draws"));
  EXPECT_THAT(refused([](auto& o) { o.draft_tokens = 0; }), HasSubstr("draft_tokens = 0"));
  EXPECT_THAT(refused([](auto& o) { o.shift_id.reset(); }), HasSubstr("shift tokens"));
  EXPECT_THAT(refused([](auto& o) { o.draft = Draft::kExit; }), HasSubstr("early layers"));
}

class LooksAhead : public TrainTest {
 protected:
  static RunConfig ahead_run(int64_t max_shift) {
    RunConfig config = tiny_run();
    config.model.ahead.predict_ahead = true;
    config.model.ahead.max_shift = max_shift;
    return config;
  }
};

// A text that says the same five letters over and over is known at any distance.
TEST_F(LooksAhead, APeriodIsLearnedAtEveryShift) {
  std::string period;
  while (period.size() < 600) period += "abcde";
  corpus_ = corpus(period);
  RunConfig config = ahead_run(3);
  config.model.backbone.n_embd = 32;
  config.model.backbone.block_size = 16;
  config.model.ahead.shift_dist = ShiftDist::kUniform;
  config.data.batch_size = 8;
  config.training.max_iters = config.training.eval_interval = 400;
  config.training.evaluations = "val; far: shift=3";
  Trainer t = trainer(config);
  History history;
  t.run(history.events());
  const Evaluation& first = history.evaluations.front().of("val");
  const Evaluation& last = history.evaluations.back().of("val");
  EXPECT_NEAR(first.metrics.at("unigram_entropy"), std::log(5.0), 0.05);
  for (const char* name : {"loss_shift/1", "loss_shift/2", "loss_shift/3"}) {
    EXPECT_GT(first.metrics.at(name), 1) << name;
    EXPECT_LT(last.metrics.at(name), 0.1) << name;
  }
  EXPECT_EQ(last.metrics.at("loss_shift/1"), last.loss);
  EXPECT_EQ(last.metrics.at("loss_shift/3"), history.evaluations.back().of("far").loss)
      << "on the same windows";
  EXPECT_GT(last.metrics.count("loss_without_shift"), 0U);

  GenerateOptions o;
  o.sampler.greedy = true;
  o.window = {0, 16, Overflow::kHalf};
  o.vocab_size = 5;
  o.shift_id = shift_id(5, 1);
  o.max_new_tokens = 40;
  const NextTokenModel& model = *t.model().next_token_model();
  const GrownTexts plain = texts_grown(model, o, {{0, 1}, {3}});
  for (size_t i = 0; i < 40; ++i) {
    EXPECT_EQ(plain.tokens[0][i], int64_t(i + 2) % 5);
    EXPECT_EQ(plain.tokens[1][i], int64_t(i + 4) % 5);
  }
  o.draft = Draft::kShift;
  o.draft_tokens = 3;
  const GrownTexts drafted = texts_grown(model, o, {{0, 1}, {3}});
  EXPECT_EQ(drafted.tokens, plain.tokens);
  EXPECT_EQ(plain.report.tokens_per_pass(), 1);
  EXPECT_GT(drafted.report.tokens_per_pass(), 1.5) << "4 tokens in 2 passes, but for moves";
}

TEST_F(LooksAhead, AnInterruptedRunGoesOnWithTheSameShifts) {
  RunConfig config = ahead_run(4);
  config.model.ahead.shift_dist = ShiftDist::kUniform;
  config.data.batch_size = 5;
  config.data.mini_batch_size = 2;
  run(config, "whole");
  int stretches = 0;
  for (bool done = false; !done; ++stretches) {
    ASSERT_LT(stretches, 50);
    Trainer t = trainer(config, temp_ / "parts");
    if (const auto newest = newest_complete(temp_ / "parts/checkpoints")) t.resume(newest->folder);
    History history;
    TrainerEvents events = history.events();
    int64_t polls = 60 + stretches % 2;  // an evaluation is of 30
    events.stop = [&] { return --polls < 0; };
    done = t.run(events) == RunEnd::kDone;
  }
  EXPECT_GT(stretches, 1);
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json"})
    EXPECT_EQ(slurp(checkpoint("whole", "last") + "/" + file),
              slurp(checkpoint("parts", "last") + "/" + file))
        << file;

  const LoadedModel loaded = load_model(checkpoint("whole", "last"), at::kCPU);
  const int64_t text = corpus_->vocab_size();
  EXPECT_EQ(loaded.state.vocab_size, text + 4);
  EXPECT_EQ(text_vocab(loaded.state), text);
  EXPECT_EQ(loaded.state.config.model.backbone.vocab_size, text) << "which the data goes by";
}

}  // namespace
}  // namespace fathom::testing
