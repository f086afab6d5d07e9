// What somebody sees of a walk while it goes on.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/model/spec/depth_program.h"
#include "fathom/model/walk/state.h"

namespace fathom {

// Names of what is seen at every step:
//   "door"  the stream as it comes to the step's door, where `state` is one to go on from
//   "n"     its norm, which the block begins with
//   "a" "m" what an attention or an MLP gives to the stream, as often as the wiring calls one
//   "r" "y" and every other name that the wiring assigns: the value, as often as it is assigned
//   "h"     what the head is given, at steps that read out
// and "F.name.what", for what an experiment's function records.
//
// With WalkOptions::recompute_blocks the block's values are in no graph. A skipping walk shows the
// rows that are there.
struct Sight {
  const StepSpec& step;  // knows its path through the loops
  std::string_view name;
  const Tensor& x;  // (R, width): of `rows`
  const Rows& rows;
  const WalkState& state;
};
using Observer = std::function<void(const Sight&)>;

// Remembers what was seen under some names, of each step the last of it. Copies share their memory.
class Kept {
 public:
  Kept(std::initializer_list<std::string> names = {}) : seen_(std::make_shared<Seen>()) {
    for (const std::string& name : names) keep(name);
  }
  // Besides those that it knows.
  void keep(const std::string& name);
  bool keeps(std::string_view name) const;

  Observer observer() const;

  // Undefined: nothing was seen there.
  const Tensor& at(int step, std::string_view name) const;
  const Tensor& h(int step) const { return at(step, "h"); }
  // Under the name "door". Null: nothing was seen there.
  const std::shared_ptr<const WalkState>& door(int step) const;

 private:
  struct Values {
    std::string name;
    std::vector<Tensor> by_step;
  };
  struct Seen {
    std::vector<Values> names;
    std::vector<std::shared_ptr<const WalkState>> doors;  // by step
  };
  std::shared_ptr<Seen> seen_;
};

}  // namespace fathom
