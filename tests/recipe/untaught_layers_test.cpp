// Layers that may answer and that no loss teaches are told at the start.
#include <gmock/gmock.h>

#include "recipe/config_testing.h"

namespace fathom {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::resolved;
using testing::Settings;
using ::testing::StartsWith;

TEST(UntaughtLayers, AreNamed) {
  const auto notices = [](const Settings& settings) {
    return resolved("gpt2ish_shakespeare", settings).notices;
  };
  const Settings::value_type halts = {"halt_rule", "max"};
  EXPECT_THAT(notices({halts}),
              ElementsAre("layers 0 to 4 answer where they are confident, but layer_supervision = "
                          "last does not train them"));
  EXPECT_THAT(notices({halts, {"layer_supervision", "[1, 0, 1, 1, 1, 1]"}}),
              ElementsAre("layer 1 answers where it is confident, but layer_supervision does not "
                          "train it"));
  EXPECT_THAT(notices({halts, {"layer_supervision", "[0, 1, 1, 0, 1, 1]"}}),
              ElementsAre(StartsWith("layers 0, 3 answer")));
  EXPECT_THAT(notices({halts, {"layer_supervision", "[0, 0, 1, 1, 1, 1]"}}),
              ElementsAre(StartsWith("layers 0, 1 answer")));
  EXPECT_THAT(notices({halts, {"n_layer", "1"}, {"n_head", "6"}}), IsEmpty());
  EXPECT_THAT(notices({halts, {"layer_supervision", "all"}}), IsEmpty());
  EXPECT_THAT(notices({halts, {"layer_supervision", "[1, 1, 1, 1, 1, 0]"}}),
              ElementsAre("layer 5 is the last one and answers, but layer_supervision does not "
                          "train it"));
  EXPECT_THAT(notices({{"layer_supervision", "[1, 1, 1, 1, 1, 0]"}}),
              ElementsAre(StartsWith("layer 5 is the last one")));
  EXPECT_THAT(
      notices({{"detach_between_layers", "true"}, {"layer_supervision", "last"}}),
      ElementsAre(StartsWith("detach_between_layers = true where layer_supervision trains")));
  EXPECT_THAT(notices({halts, {"halt_threshold", "1.5"}}),
              Not(Contains(HasSubstr("does not train"))))
      << "no layer is ever so confident";
}

}  // namespace
}  // namespace fathom
