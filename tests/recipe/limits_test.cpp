// Every number of a run has a limit that a machine can carry, and so have their products.
#include <gmock/gmock.h>

#include <cstdint>
#include <nlohmann/json.hpp>

#include "recipe/config_testing.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;
using testing::refusal_of;
using testing::resolved;
using testing::Settings;

bool holds_integers(const Field& field) {
  return field.type().rfind("int", 0) == 0 || field.type().find("of int") != std::string::npos;
}

TEST(Limits, EveryIntegerHasTwo) {
  for (const Preset& preset : registry().presets()) {
    RunConfig config = preset_config(preset.name);
    FieldList list;
    add_fields(list, config);
    for (const Field& field : list.all()) {
      if (!holds_integers(field)) continue;
      // "0 <= threads <= 1024"
      const std::string range = field.range();
      const size_t name = range.find(field.name());
      EXPECT_GT(name, 0u) << field.name() << " has no least value: " << range;
      EXPECT_NE(range.find('<', name), range.npos) << field.name() << " has no greatest: " << range;
    }
  }
}

// Neither taken for a small one nor for a fault of the program's.
TEST(Limits, HugeNumbersAreRefusedByName) {
  RunConfig config;
  FieldList list;
  add_fields(list, config);
  for (const Field& field : list.all()) {
    if (field.type().rfind("int", 0) != 0) continue;
    for (const char* huge : {"9223372036854775807", "18446744073709551616", "1e300"}) {
      const Error e = refusal_of([&] { list.set_text(field.name(), huge, "--" + field.name()); });
      EXPECT_EQ(e.kind(), ErrorKind::kUsage);
      EXPECT_THAT(e.what(), HasSubstr(field.name() + " = ")) << huge;
    }
  }
  for (const char* text : {"4294967297", "1025"})  // 2^32 + 1
    EXPECT_THAT(refusal_of([&] {
                  resolved("gpt2ish", {{"threads", text}});
                }).what(),
                HasSubstr("0 <= threads <= 1024"));
  EXPECT_EQ(resolved("gpt2ish", {{"seed", "4294967297"}}).config.training.seed, 4294967297);
}

TEST(Limits, ProductsAreCheckedAsWell) {
  const auto refusal = [](const Settings& settings) {
    return std::string(refusal_of([&] { resolved("gpt2ish_shakespeare", settings); }).what());
  };
  EXPECT_THAT(refusal({{"batch_size", "1048576"},
                       {"gradient_accumulation_steps", "1048576"},
                       {"block_size", "16777216"}}),
              HasSubstr("more than can be counted"));
  EXPECT_THAT(refusal({{"max_iters", "1e12"}, {"batch_size", "1048576"}}),
              HasSubstr("1,000,000,000,000 steps of 268.44M tokens"));
  EXPECT_THAT(refusal({{"eval_iters", "1e12"}, {"validation_batch_size", "1048576"}}),
              HasSubstr("an evaluation of 1,000,000,000,000 batches"));
  EXPECT_GT(resolved("gpt2ish_shakespeare", {{"max_iters", "1e12"}}).config.tokens_per_step(), 0);
}

}  // namespace
}  // namespace fathom
