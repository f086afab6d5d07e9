// What keys of blocks refuse and tell, and what they compose with.
// no sense.
#include "fathom/model/spec/wiring_config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/depth_program.h"
#include "fathom/model/spec/policy.h"
#include "spec/looped_model.h"
#include "spec/wired.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using testing::and_also;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kLoopVocab;
using testing::model_with;
using ::testing::Not;
using testing::Settings;
using ::testing::StartsWith;
using testing::wired_layers;
using testing::wired_names;
using testing::wired_plan;
using testing::wiring_refusal;

TEST(Positions, MeetTheStreamAsTyped) {
  const auto stem = [](const char* positions) {
    return wired_plan({{"positions", positions}}).stem.door;
  };
  ASSERT_EQ(stem("add").size(), 2u);
  EXPECT_EQ(stem("add")[1].meeting, Injection::kAdd);
  EXPECT_EQ(stem("mul").at(1).meeting, Injection::kMultiply);
  EXPECT_EQ(stem("none").size(), 1u);
  EXPECT_EQ(stem("every_layer").size(), 2u);
  EXPECT_THAT(wired_names({{"positions", "none"}}), Not(Contains(HasSubstr("position"))));
  EXPECT_EQ(wired_names({{"positions", "every_layer"}}), wired_names({})) << "one table";
  const std::vector<LayerSpec> layers =
      wired_layers({{"positions", "every_layer"}, {"layer_tables", "true"}});
  EXPECT_THAT(layers[0].door, IsEmpty());
  for (size_t i = 1; i < layers.size(); ++i) {
    ASSERT_EQ(layers[i].door.size(), 2u);
    EXPECT_EQ(layers[i].door[0].kind, Injection::kTokenTable);
    EXPECT_EQ(layers[i].door[1].kind, Injection::kPositionTable);
    EXPECT_EQ(layers[i].door[1].instance, 0);
  }
  EXPECT_THAT(wiring_refusal({{"positions", "every_layer"},
                              {"layer_widths", "[10, 10, 10, 20, 20, 20]"},
                              {"tie_head", "false"}}),
              HasSubstr("positions = every_layer with layer_widths"));
}

// One table, whoever reads it.
TEST(Positions, AreReadByAWiringThatNamesThem) {
  const Settings read = {{"wiring", "r = r + A(n + pos); r = r + M(N(r))"}};
  EXPECT_EQ(wired_plan(read).stem.door.at(1).meeting, Injection::kAdd);
  const Settings alone = {read.front(), {"positions", "none"}};
  EXPECT_EQ(wired_plan(alone).stem.door.at(1).meeting, Injection::kNotMet);
  EXPECT_THAT(wired_names(alone), Contains("position_table.weight"));
  EXPECT_EQ(wired_names(alone), wired_names(read));
  EXPECT_THAT(wiring_refusal({{"wiring", "t = r + pos; r = r + A(n)"}, {"positions", "none"}}),
              HasSubstr("neither r nor y is made of pos"));
  EXPECT_THAT(wiring_refusal({{"wiring", "r = r + A(n + pos, n); r = r + M(N(r))"},
                              {"positions", "none"},
                              {"attn_scores", "uniform"}}),
              HasSubstr("neither r nor y is made of pos"))
      << "queries and keys are not compared";
  EXPECT_EQ(wired_names({{"wiring", "t = r + pos; r = r + A(n)"}}),
            wired_names({{"wiring", "r = r + A(n)"}}))
      << "a probe shows what is there anyway";
  EXPECT_THAT(wiring_refusal({{"wiring", "r = r + A(n)*pos"},
                              {"layer_widths", "[10, 10, 10, 20, 20, 20]"},
                              {"tie_head", "false"}}),
              HasSubstr("it reads pos, and one table of positions fits one width"));
}

// ---- Bad input, and what goes together

TEST(WiringKeys, RefuseWhatHasNoMeaning) {
  EXPECT_THAT(wiring_refusal({{"attn_value", "concat"}, {"attn_projection", "false"}}),
              HasSubstr("attn_value = concat with attn_projection = false"));
  for (const char* scores : {"sigmoid", "fixed"})
    EXPECT_THAT(wiring_refusal({{"attn_mask", "sink"}, {"attn_scores", scores}}),
                HasSubstr(fmt::format("attn_mask = sink with attn_scores = {}", scores)));
  EXPECT_THAT(wiring_refusal({{"wiring", "u = r + A(n)"}}), HasSubstr("r"));
  EXPECT_THAT(wiring_refusal({{"wiring", "r = r + A(n"}}), HasSubstr("column"));
  EXPECT_THAT(wiring_refusal({{"wiring", "r = r + A[1](n)"}}), HasSubstr("A[1]"));
  EXPECT_THAT(wiring_refusal({{"wiring", "r = r + F.magic(n)"}}),
              HasSubstr("calls F.magic, which nobody has defined"));
  // The output's map alone may be left out, and so may all of an attention's.
  EXPECT_THAT(wired_names({{"attn_projection", "false"}}),
              AllOf(Contains("attention.0.qkv.weight"), Not(Contains("attention.0.out.weight"))));
  EXPECT_THAT(
      wired_names(
          {{"attn_projection", "false"}, {"attn_value", "sum"}, {"attn_scores", "uniform"}}),
      Not(Contains(StartsWith("attention"))));
}

// Of scores that compare nothing: who makes queries or keys alone would never learn.
TEST(WiringKeys, RefuseQueriesThatNobodyReads) {
  const auto refusal = [](const std::string& wiring, const char* scores) -> std::string {
    const DepthPlan plan = wired_plan({{"wiring", wiring}, {"attn_scores", scores}});
    try {
      check_queries(plan);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUsage);
      EXPECT_THAT(e.hint(), HasSubstr("attn_scores = softmax"));
      return e.what();
    }
    return "";
  };
  const std::string query = "q = M(n); r = r + A(q, n, n)";
  for (const char* scores : {"uniform", "fixed"}) {
    EXPECT_THAT(refusal(query, scores),
                HasSubstr("column 5, in `q = M(n)`: M(n) makes queries or keys"));
    EXPECT_THAT(refusal("r = r + A(n, M(n), n)", scores), HasSubstr("M(n) makes queries or keys"));
    EXPECT_THAT(refusal("a = N(n); b = M(a); r = r + A(b, n)", scores), HasSubstr("N(n) makes"));
    // Values are read, and so is what stands elsewhere too.
    for (const char* fine :
         {"v = M(n); r = r + A(n, n, v)", "v = M(n); r = r + A(n, v)", "v = M(n); r = r + A(v)",
          "q = M(n); r = r + q + A(q, n, n)", "r = r + A(n); r = r + M(N(r))"})
      EXPECT_EQ(refusal(fine, scores), "") << fine;
  }
  for (const char* scores : {"softmax", "sigmoid"}) EXPECT_EQ(refusal(query, scores), "");
}

TEST(WiringKeys, RefusePartsThatAreCalledInVain) {
  for (const char* wiring :
       {"mid = A[1](n)*N(r); r = r + A(n)", "r = A[1](n); r = A(n)", "y = A[1](n); r = r + A(n)"})
    EXPECT_THAT(wiring_refusal({{"wiring", wiring}}), HasSubstr("nothing reads what A[1](n) gives"))
        << wiring << ": not even another block";
  EXPECT_THAT(remarks(model_with({{"wiring", "mid = A(n); r = r + A(n)"}})), IsEmpty())
      << "it is called for r too";
}

TEST(WiringKeys, ComposeWithTheOtherSections) {
  const Settings shared = {{"wiring", "r = r + A(n)*M(n)"},
                           {"share", "one"},
                           {"norm_ties", "last"},
                           {"attn_value", "sum"},
                           {"attn_projection", "false"}};
  for (const Settings& more :
       {Settings{{"loop_groups", "[[1, 2], [3]]"}, {"loop_norm", "rms"}},
        Settings{{"halt_rule", "max"}, {"layer_supervision", "all"}},
        Settings{{"layer_tables", "true"},
                 {"layer_heads", "true"},
                 {"halt_rule", "gold"},
                 {"layer_supervision", "all"}},
        Settings{{"layer_tables", "true"}, {"gate_mode", "learned"}},
        Settings{{"predict_ahead", "true"}, {"max_shift", "3"}},
        Settings{{"loop_groups", "[[0, [1, 2]], [4]]"}, {"positions", "every_layer"}}}) {
    const ModelConfig config = model_with(and_also(shared, more));
    validate(config);
    const DepthPlan plan = make_depth_plan(config);
    check_plan(plan);
    unroll(plan, make_policy(config));
    each_layer(plan, [&](const LayerSpec& layer) { EXPECT_EQ(layer.attention[0].instance, 0); });
  }
}

// ---- What it costs

TEST(WiringFlops, FollowTheCalls) {
  const auto flops = [](const char* wiring) {
    return flops_per_token(model_with({{"wiring", wiring}}), kLoopVocab, 8);
  };
  const Flops once = flops("r = r + A(n) + M(n)"), twice = flops("r = r + A(n) + M(n) + M(N(r))");
  EXPECT_EQ(twice.mlp, 2 * once.mlp) << "one MLP, called twice";
  EXPECT_EQ(twice.attention_linear, once.attention_linear);
  EXPECT_EQ(flops("r = r + M(n)").attention_scores, 0);
  EXPECT_EQ(once.mlp, 6 * 2.0 * 8 * 20 * 20);
}

}  // namespace
}  // namespace fathom
