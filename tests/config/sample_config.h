// A configuration with a field of every type.
#pragma once

#include <optional>
#include <string>

#include "fathom/config/fields.h"

namespace fathom::testing {

enum class Colour { kRed, kGreen, kNone };

struct SampleConfig {
  bool flag = false;
  int64_t count = 3;
  double rate = 0.5;
  std::string text = "plain";
  std::optional<int64_t> maybe_count;
  std::optional<double> maybe_rate;
  std::optional<bool> maybe_flag;
  IntList ints = {1};
  FloatList floats;
  IntLists groups;
  Colour colour = Colour::kRed;
  ChoiceOrList layers = {"last", {}};
};

inline void add_fields(FieldList& list, SampleConfig& c) {
  list.section("first");
  list.add("flag", c.flag, "a switch");
  list.add("count", c.count, "how many").at_least(1).at_most(1000).alias("num_things");
  list.add("rate", c.rate, "how fast").above(0).below(1);
  list.add("text", c.text, "what it says");
  list.section("second");
  list.add("maybe_count", c.maybe_count, "how many, or None")
      .at_least(0)
      .switch_alias("only_one", "1", "None");
  list.add("maybe_rate", c.maybe_rate, "how fast, or None");
  list.add("maybe_flag", c.maybe_flag, "a switch, or None");
  list.add("ints", c.ints, "whole numbers").at_least(-5).or_alone("[4, 5]");
  list.add("floats", c.floats, "numbers");
  list.add("groups", c.groups, "groups of layers").at_least(0);
  list.add<Colour>("colour", c.colour, "of the bike",
                   {{"red", Colour::kRed}, {"green", Colour::kGreen}, {"none", Colour::kNone}});
  list.add("layers", c.layers, "which layers, or a weight for each", {"last", "all"}).at_least(0);
  list.ignore("compile", "nothing is left to compile");
}

// A configuration and its list of fields.
struct Sample {
  SampleConfig config;
  FieldList fields = [this] {
    FieldList list;
    add_fields(list, config);
    return list;
  }();

  Sample() = default;
  Sample(const Sample&) = delete;  // the list points into the struct
};

}  // namespace fathom::testing
