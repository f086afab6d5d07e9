// A text that grows is computed as if it were seen for the first time.
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "errors.h"
#include "fathom/decode/generate.h"
#include "model/memory_meter.h"
#include "property/wiring_rows.h"

namespace fathom::property {
namespace {

using Texts = std::vector<std::vector<int64_t>>;

Texts random_texts(const std::vector<int64_t>& lengths, unsigned seed) {
  Texts texts;
  for (const int64_t length : lengths) {
    const Tensor t = random_tokens({length}, kVocab, seed++);
    texts.emplace_back(t.data_ptr<int64_t>(), t.data_ptr<int64_t>() + length);
  }
  return texts;
}

// The plain twin: the window as a batch of its own, no cache, with the text's own random numbers.
NextToken uncached(const NextTokenModel& model, size_t number, const std::vector<int64_t>& text,
                   const Window& window, Exit exit) {
  const auto length = static_cast<int64_t>(text.size());
  std::vector<int64_t> seen(text.begin(), text.begin() + std::min(window.pinned, length));
  for (int64_t i = window.start(length); i < length; ++i) seen.push_back(text[size_t(i)]);
  Batch batch;
  batch.tokens_BT = index_tensor(seen, at::kCPU).unsqueeze(0);
  Asked asked;
  asked.exit = exit;
  asked.random = RandomField(0, 0, static_cast<int64_t>(number));
  return model.next_token(Rows(batch), asked);
}

class DecoderTest : public PropertyTest {
 protected:
  // Of one text's next token and of three texts', once the first ones are there.
  static void expect_no_requests(const NextTokenModel& model, const Policy* policy,
                                 const std::vector<int64_t>& numbers = {1, 3}) {
    for (const int64_t texts : numbers) {
      Decoder decoder(model, random_texts(std::vector<int64_t>(size_t(texts), 1), 3),
                      {0, kBlock, Overflow::kStop});
      Decoder::Question question{Exit::kLast};
      question.policy = policy;
      int64_t token = 0;
      const auto step = [&] {
        for (size_t b = 0; b < size_t(texts); ++b) decoder.append(b, token++ % kVocab);
        decoder.next(question);
      };
      for (int i = 0; i < 6; ++i) step();
      EXPECT_EQ(MemoryMeter::requests_of(step), 0) << texts << " texts";
    }
  }

  // Feeds `steps` random tokens to texts of several lengths and compares every answer.
  void expect_as_uncached(const NextTokenModel& model, const Window& window, Exit exit,
                          int64_t steps, double tolerance) {
    Decoder decoder(model, random_texts({1, 4, 2}, 3), window);
    const Tensor more = random_tokens({steps, 3}, kVocab, 77);
    for (int64_t i = 0; i < steps; ++i) {
      if (decoder.is_full(0) && decoder.is_full(1) && decoder.is_full(2)) break;
      const NextToken next = decoder.next(exit);
      for (int64_t b = 0; b < 3; ++b) {
        SCOPED_TRACE(::testing::Message() << "step " << i << " text " << b);
        const auto text = static_cast<size_t>(b);
        if (decoder.is_full(text)) {
          EXPECT_EQ(next.layer_N[b].item<int64_t>(), -1);
          continue;
        }
        const NextToken expected = uncached(model, text, decoder.tokens(text), window, exit);
        ASSERT_EQ(next.layer_N[b].item<int64_t>(), expected.layer_N.item<int64_t>());
        ASSERT_LE(gap(next.scores_NV[b], expected.scores_NV[0]), tolerance);
        answers_.insert(expected.layer_N.item<int64_t>());
        decoder.append(text, more[i][b].item<int64_t>());
      }
    }
  }
  std::set<int64_t> answers_;
};

TEST_F(DecoderTest, EveryPresetAtEveryPosition) {
  for (const Case& c : all_cases()) {
    if (!c.grows()) continue;
    SCOPED_TRACE(c.name);
    const Batch batch = text_batch(6, kBlock, 5);
    answers_.clear();
    for (const auto dtype : {at::kDouble, at::kFloat}) {
      const Subject s = subject(c, batch, dtype);
      for (const Exit exit : {Exit::kFirstConfident, Exit::kLast})
        for (const Overflow overflow : {Overflow::kRecompute, Overflow::kHalf, Overflow::kStop})
          expect_as_uncached(*s.model, {0, kBlock, overflow}, exit, 2 * kBlock,
                             dtype == at::kDouble ? 1e-11 : 1e-5);
    }
    if (c.acts() && !c.halts()) continue;  // by another rule any of them
    EXPECT_EQ(answers_.size(), c.halts() ? size_t(c.config.backbone.n_layer) : 1U)
        << "not every layer answered";
  }
}

// Rows of a notebook of wirings, drawn halts, which hide nothing, among them.
TEST_F(DecoderTest, EveryWiringAtEveryPosition) {
  const std::vector<Case> cases = preset_cases(true);
  int of_several_layers = 0;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    ASSERT_TRUE(c.grows());
    answers_.clear();
    const Subject s = subject(c, text_batch(6, kBlock, 5), at::kDouble);
    for (const Exit exit : {Exit::kFirstConfident, Exit::kLast})
      for (const Overflow overflow : {Overflow::kRecompute, Overflow::kHalf})
        expect_as_uncached(*s.model, {0, kBlock, overflow}, exit, kBlock + 3, 1e-11);
    EXPECT_TRUE(answers_.size() == 1 || c.acts());
    of_several_layers += answers_.size() > 1 ? 1 : 0;
  }
  EXPECT_GE(of_several_layers, 5) << "those whose halts are drawn";
  expect_all_wirings(cases);
}

// A cache has a place for every iteration, however many there are.
TEST_F(DecoderTest, LoopsOfOneToEightIterations) {
  const auto expect = [&](const char* preset, const std::string& counts, size_t steps) {
    SCOPED_TRACE(preset + (" " + counts));
    Case c = {preset, shrink(preset_config(preset).model)};
    FieldList list;
    add_fields(list, c.config);
    list.set_text("loop_counts", counts, "the test");
    const Subject s = subject(c, text_batch(6, kBlock, 5), at::kDouble);
    ASSERT_EQ(s.program().steps.size(), steps);
    expect_as_uncached(*s.model, {0, kBlock, Overflow::kHalf}, Exit::kLast, kBlock + 2, 1e-11);
  };
  for (size_t K = 1; K <= 8; ++K) expect("looped_tiny", fmt::format("[{}]", K), 2 + K);
  expect("looped_sandwich", "[8, 2]", 8 + 2 * 2);         // layer 0; layers 1 and 2
  expect("looped_nested", "[2, 3, 1]", 2 * (3 + 1) + 1);  // layers 0 and 1, in a loop; layer 2
}

TEST_F(DecoderTest, PinnedTokensAndSmallWindows) {
  for (const Case& c : composed_cases()) {
    SCOPED_TRACE(c.name);
    const Subject s = subject(c, text_batch(6, kBlock, 5), at::kDouble);
    for (const Exit exit : {Exit::kFirstConfident, Exit::kLast})
      for (const Overflow overflow : {Overflow::kRecompute, Overflow::kHalf})
        for (const auto& [pinned, capacity] : {std::pair<int64_t, int64_t>{1, 4}, {3, 4}, {0, 1}})
          expect_as_uncached(*s.model, {pinned, capacity, overflow}, exit, 12, 1e-11);
  }
}

// In the skipping walk a token that halted has keys no deeper than where it halted.
TEST_F(DecoderTest, WhatHasLeftHasNoDeeperKeys) {
  const Case c = {"exits", exits(), true};
  const Subject s = subject(c, text_batch(6, kBlock, 5), at::kDouble);
  const std::vector<int64_t> text = random_texts({kBlock}, 9)[0];
  const int64_t L = c.config.backbone.n_layer;
  std::vector<int64_t> expected(size_t(L), 0);
  for (int64_t t = 0; t < kBlock; ++t) {
    const Tensor prefix = index_tensor({text.begin(), text.begin() + t + 1}, at::kCPU).unsqueeze(0);
    const int64_t layer =
        s.model->next_token(prefix, Exit::kFirstConfident).layer_N.item<int64_t>();
    for (int64_t i = 0; i <= layer; ++i) ++expected[size_t(i)];
  }
  EXPECT_LT(expected.back(), kBlock) << "nobody left";
  Decoder whole(*s.model, {text}, {0, kBlock, Overflow::kStop});
  const NextToken all = whole.next(Exit::kFirstConfident);
  Decoder grown(*s.model, {{text[0]}}, {0, kBlock, Overflow::kStop});
  int64_t computed = grown.next(Exit::kFirstConfident).computed;
  for (int64_t t = 1; t < kBlock; ++t) {
    grown.append(0, text[size_t(t)]);
    computed += grown.next(Exit::kFirstConfident).computed;
  }
  for (const Decoder* decoder : {&whole, &grown}) {
    ASSERT_EQ(decoder->cache().keys.slots(), L);
    for (int64_t i = 0; i < L; ++i)
      EXPECT_EQ(decoder->cache().keys.keys(int(i), 0), expected[size_t(i)]) << i;
  }
  EXPECT_EQ(all.computed, std::accumulate(expected.begin(), expected.end(), int64_t{0}));
  EXPECT_EQ(all.dense, L * kBlock);
  EXPECT_EQ(computed, all.computed);
}

TEST_F(DecoderTest, OneNewTokenIsComputedOnce) {
  const Subject s = subject(composed_cases()[1], text_batch(6, kBlock, 5), at::kDouble);
  Decoder decoder(*s.model, {{1, 2, 3}, {4}}, {0, kBlock, Overflow::kHalf});
  const int64_t L = s.config.backbone.n_layer;
  EXPECT_EQ(decoder.next(Exit::kLast).dense, 4 * L);
  decoder.append(0, 5), decoder.append(1, 6);
  EXPECT_EQ(decoder.next(Exit::kLast).dense, 2 * L);
  decoder.append(1, 6);
  const NextToken next = decoder.next(Exit::kLast);
  EXPECT_EQ(next.dense, (4 + 1) * L) << "asked again without a new token, a text is computed anew";
}

TEST_F(DecoderTest, ATextLongerThanAWindowThatEndsIsRefused) {
  const Subject s = subject(composed_cases().front(), text_batch(6, kBlock, 5), at::kDouble);
  const Error error = caught([&] {
    Decoder(*s.model, random_texts({5}, 1), {0, 4, Overflow::kStop});
  });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_THAT(error.what(), ::testing::HasSubstr("5 tokens, the window takes at most 4"));
  EXPECT_THAT(error_of([&] {
                Decoder(*s.model, {{}}, {0, 4, {}});
              }),
              ::testing::HasSubstr("token"));
}

TEST_F(DecoderTest, StopEndsEachTextAtItsWindow) {
  const Subject s = subject(composed_cases().front(), text_batch(6, kBlock, 5), at::kDouble);
  GenerateOptions o;
  o.window = {0, kBlock, Overflow::kStop};
  o.vocab_size = kVocab;
  o.max_new_tokens = 100;
  std::vector<int64_t> produced(2, 0);
  generate(*s.model, random_texts({3, 6}, 1), o,
           [&](size_t text, int64_t, int64_t) { ++produced[text]; });
  EXPECT_EQ(produced, (std::vector<int64_t>{kBlock + 1 - 3, kBlock + 1 - 6}));
}

// Several texts at once are those that each would be alone.
TEST_F(DecoderTest, TextsDoNotDependOnTheirNeighbours) {
  for (const Case& c : composed_cases()) {
    SCOPED_TRACE(c.name);
    const Subject s = subject(c, text_batch(6, kBlock, 5), at::kDouble);
    const auto written = [&](const Texts& texts, uint64_t first) {
      GenerateOptions o;
      o.window = {0, kBlock, Overflow::kHalf};
      o.vocab_size = kVocab;
      o.max_new_tokens = 30;
      o.seed = 5;
      o.first_sample = first;
      o.sampler.repetition_penalty = 1.2;
      Texts out(texts.size());
      generate(*s.model, texts, o,
               [&](size_t text, int64_t token, int64_t) { out[text].push_back(token); });
      return out;
    };
    const Texts texts = random_texts({2, 7, 12}, 21);
    const Texts together = written(texts, 0);
    for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(written({texts[i]}, i)[0], together[i]);
  }
}

TEST_F(DecoderTest, TopOneIsGreedy) {
  const Subject s = subject(composed_cases().front(), text_batch(6, kBlock, 5), at::kDouble);
  const auto written = [&](bool greedy, uint64_t seed) {
    GenerateOptions o;
    o.window = {0, kBlock, Overflow::kRecompute};
    o.vocab_size = kVocab;
    o.max_new_tokens = 40;
    o.seed = seed;
    o.sampler.greedy = greedy;
    if (!greedy) o.sampler.top_k = 1;
    std::vector<int64_t> out;
    generate(*s.model, {{1}}, o, [&](size_t, int64_t token, int64_t) { out.push_back(token); });
    return out;
  };
  EXPECT_EQ(written(false, 1), written(true, 2));
}

// The tensors of one token serve the next one.
TEST_F(DecoderTest, AWarmStepAsksForNoMemory) {
  int cases = 0;
  for (const Case& c : all_cases()) {
    // Activations without kernels are plain operations, which ask.
    if (!c.grows() || c.acts() || c.own()) continue;
    SCOPED_TRACE(c.name);
    ++cases;
    const Subject s = subject(c, text_batch(6, kBlock, 5), at::kFloat);
    expect_no_requests(*s.model, nullptr);
  }
  EXPECT_GE(cases, 8);
}

// Nor where tokens leave loops, by states or by scores: all of them, none, or some, whose keys are
// kept for every iteration or in turn.
TEST_F(DecoderTest, AWarmStepOfALoopThatIsLeftAsksForNoMemory) {
  int cases = 0;
  for (const Case& c : all_cases()) {
    if (!c.grows() || c.acts() || c.own() || !has_loops(c.config)) continue;
    const Subject s = subject(c, text_batch(6, kBlock, 5), at::kFloat);
    for (const char* rule : {"rel_latent", "state_change", "step_norm_diff", "acceleration", "kl",
                             "kl_min_p", "kl_diff", "entropy", "argmax", "max"})
      for (const char* threshold : {"0", "0.2", "1e9"})
        for (const char* cached : {"0", "2"}) {
          SCOPED_TRACE(
              fmt::format("{}: {} {}, {} iterations cached", c.name, rule, threshold, cached));
          ModelConfig config = c.config;
          FieldList list;
          add_fields(list, config);
          list.set_text("loop_halt_rule", rule, "a test");
          list.set_text("loop_halt_threshold", threshold, "a test");
          list.set_text("loop_cache", cached, "a test");
          const Policy policy = make_policy(config);
          ++cases;
          // Which of three texts leave, and when, is another matter in each step: others come into
          // the pool for a while.
          const bool changes = rule == std::string("max") && threshold == std::string("0.2");
          expect_no_requests(*s.model, &policy,
                             changes ? std::vector<int64_t>{1} : std::vector<int64_t>{1, 3});
        }
  }
  EXPECT_GE(cases, 9 * 24);
}

// Nor by a gate, at once or never.
TEST_F(DecoderTest, AWarmStepOfALoopThatAGateLeavesAsksForNoMemory) {
  for (const char* threshold : {"0", "2"}) {
    SCOPED_TRACE(threshold);
    Case c = {"looped_tiny", shrink(preset_config("looped_tiny").model)};
    FieldList list;
    add_fields(list, c.config);
    for (const auto& [key, value] : {std::pair{"loop_halt_gate", "true"},
                                     {"loop_halt_rule", "learned"},
                                     {"loop_halt_threshold", threshold}})
      list.set_text(key, value, "a test");
    expect_no_requests(*subject(c, text_batch(6, kBlock, 5), at::kFloat).model, nullptr);
  }
}

// Nor where layers are asked whether the token would halt. (Of layers of other widths states are
// padded by plain operations.)
TEST_F(DecoderTest, AWarmStepOfAWalkWithARuleAsksForNoMemory) {
  int cases = 0;
  for (const Case& c : all_cases()) {
    if (!c.grows() || !c.acts() || c.own() || !c.config.early_exit.layer_widths.empty() ||
        c.config.halting.rule == HaltRule::kBernoulli)
      continue;
    SCOPED_TRACE(c.name);
    ++cases;
    expect_no_requests(*subject(c, text_batch(6, kBlock, 5), at::kFloat).model, nullptr);
  }
  EXPECT_GE(cases, 12);
}

}  // namespace
}  // namespace fathom::property
