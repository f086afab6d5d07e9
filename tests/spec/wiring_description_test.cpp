// What is said of a wiring: what its blocks are made of, which parts learn nothing, and whose
// weights it would take.
#include "fathom/train/recipe/wiring_description.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fathom/model/spec/canonical_wiring.h"
#include "spec/looped_model.h"

namespace fathom {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::model_with;
using ::testing::Not;
using ::testing::Pair;
using testing::Settings;

Settings joined_keys(Settings settings, const Settings& more) {
  settings.insert(settings.end(), more.begin(), more.end());
  return settings;
}

// The last layer's y is read by none.
TEST(WiringKeys, TellOfPartsThatTheLastLayerCallsInVain) {
  const auto told = [](const char* wiring, const Settings& more) {
    return remarks(model_with(joined_keys({{"wiring", wiring}}, more)));
  };
  const char* const ahead = "r = r + A(y); t = M[1](N(r)); y = t*A[1](n) + M(n)";
  EXPECT_THAT(told(ahead, {}),
              ElementsAre(HasSubstr("calls A[1], M, M[1], N for y alone, which nobody reads after "
                                    "the last layer: that layer's are not trained")));
  EXPECT_THAT(told(ahead, {{"share", "one"}}), IsEmpty()) << "others have the same";
  EXPECT_THAT(told(ahead, {{"share", "one"}, {"share_mlp", "[0, 0, 1, 1, 1, 2]"}}),
              ElementsAre(HasSubstr("calls M, M[1] for y alone")));
  EXPECT_THAT(told(ahead, {{"share", "[0, 1, 2, 0, 1, 2]"}, {"norm_affine", "false"}}), IsEmpty());
  EXPECT_THAT(told("y = A(y)*M(y); r = r + y", {}), IsEmpty()) << "r is made of it too";
  EXPECT_THAT(told(ahead, {{"loop_groups", "[[4, 5]]"}}), Not(Contains(HasSubstr("for y alone"))));
}

TEST(WiringDescription, SaysWhatBlocksAreMadeOf) {
  const ModelConfig config = model_with({{"wiring", "r=r+A( n )*M(n)"},
                                         {"share_attn", "one"},
                                         {"share_mlp", "[0, 1, 0, 1, 0, 1]"},
                                         {"share_norm", "one"},
                                         {"norm_ties", "last"},
                                         {"attn_value", "mean"},
                                         {"attn_projection", "false"},
                                         {"mlp_activation", "relu"},
                                         {"norm_affine", "false"},
                                         {"positions", "mul"}});
  const nlohmann::json hash = given_wiring_json(config)["hash"];
  EXPECT_THAT(
      wiring_lines(config),
      ElementsAre(Pair("block", to_text(canonical(typed_wiring(config.wiring)))),
                  Pair("hash", hash.get<std::string>()),
                  Pair("attention",
                       "the input as the value of every head, averaged, softmax of q k, causal, no "
                       "output projection, no biases"),
                  Pair("  instances", "1, shared by 6 layers"),
                  Pair("MLP", "hidden 4 C, relu, no biases"),
                  Pair("  instances", "2, shared by 6 layers: 0 1 0 1 0 1"),
                  Pair("norms at doors", "layer, eps 1e-05, no weights"),
                  Pair("last norm", "layer, eps 1e-05, no weights"),
                  Pair("  tied", "the last norm is the doors'"),
                  Pair("  instances", "1, shared by 6 layers"),
                  Pair("positions", "the token's row times the position's")));
  const auto positions = [](const char* wiring, const char* how) {
    return wiring_lines(model_with({{"wiring", wiring}, {"positions", how}})).back();
  };
  EXPECT_EQ(positions("r = r + A(pos)", "none").second, "read by the blocks alone");
  EXPECT_EQ(positions("r = r + A(pos)", "add").second,
            "added to the token's row, and read by the blocks");
  EXPECT_EQ(positions("r = r + A(n)", "none").second, "none");
  const nlohmann::json said = wiring_json(config);
  EXPECT_EQ(said["blocks"][0]["hash"], hash);
  EXPECT_EQ(said["mlp"]["by_layer"].dump(), "[[0],[1],[0],[1],[0],[1]]");
  EXPECT_EQ(said["attention"]["count"], 1);
  // The block of a style has a wiring too, which nobody gave.
  EXPECT_THAT(wiring_lines(model_with({})),
              Contains(Pair("  instances", "6, none shared")).Times(2));
  EXPECT_TRUE(given_wiring_json(model_with({})).is_null());
  EXPECT_EQ(given_wiring_line(model_with({})), "");
}

TEST(WiringDescription, SaysWhatWeightsCanTakeUp) {
  const auto equivalent = [](const Settings& more) {
    return wiring_json(model_with(
        joined_keys({{"wiring", "r = r + 2*A(n) + M(n)/3"}}, more)))["blocks"][0]["equivalent"]
        .get<std::string>();
  };
  EXPECT_EQ(equivalent({}), "r = r + A(n) + M(n)");
  EXPECT_EQ(equivalent({{"attn_projection", "false"}}), "r = r + A(n) + M(n)") << "its values do";
  EXPECT_EQ(equivalent({{"attn_projection", "false"}, {"attn_value", "sum"}}),
            "r = r + 2*A(n) + M(n)");
  EXPECT_THAT(wiring_lines(model_with({{"wiring", "r = r + 2*A(n)"}})),
              Contains(Pair("equivalent", "r = r + A(n)")));
  EXPECT_THAT(wiring_lines(model_with({{"wiring", "r = r + A(n)"}})),
              Not(Contains(Pair("equivalent", ::testing::_))));
}

TEST(WiringDescription, KnowsWhoseWeightsPartsWouldTake) {
  const auto between = [](const char* from, const char* to) {
    return compare_wirings(model_with({{"wiring", from}}), model_with({{"wiring", to}}));
  };
  const char* const two = "u = r*A[1](n) + A(n); r = u + M(N(u))";
  EXPECT_EQ(between(two, "v = A(n) + r*A[1](n); r = M(N(v)) + v"), WeightsBetween::kSame);
  EXPECT_EQ(between(two, "u = r*A(n) + A[1](n); r = u + M(N(u))"), WeightsBetween::kExchanged);
  EXPECT_EQ(between(two, "r = r + A(n) + A[1](n)"), WeightsBetween::kOther);
  EXPECT_EQ(between("None", "r = r + A(n); r = r + M(N(r))"), WeightsBetween::kSame);
  EXPECT_EQ(between("None", "r = r + A(n) + M(n)"), WeightsBetween::kOther);
  EXPECT_EQ(compare_wirings(model_with({{"block_style", "huginn"}}), model_with({})),
            WeightsBetween::kOther);
}

TEST(WiringDescription, KnowsTheSameFormulaOtherwiseSpelled) {
  EXPECT_TRUE(is_same_wiring("r = r + A(n)*M(n)", "r=r+A(n) * M(n);"));
  EXPECT_TRUE(is_same_wiring("", "None"));
  EXPECT_FALSE(is_same_wiring("r = r + A(n)*M(n)", "r = r + A(n) - M(n)"));
  EXPECT_FALSE(is_same_wiring("", "r = r + A(n)"));
  EXPECT_FALSE(is_same_wiring("r = (", "r = r + A(n)"));
}

}  // namespace
}  // namespace fathom
