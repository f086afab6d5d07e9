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
//   "head"  what the head is given, at steps that are read (ReadoutUse::kNone: they are not)
//   "iteration.0"  the stream at the end of an iteration of loop group 0, before rows that have
//           left it come back
// and "F.name.what", for what an experiment's function records. All but "door", "head" and
// "iteration" are the block's: of a skipping walk's rows that stand still there are none, and with
// WalkOptions::recompute_blocks they are in no graph, but for those of blocks with functions where
// WalkOptions::keep_functions says so.
std::string iteration_name(int loop_group);

struct Sight {
  const StepSpec& step;  // knows its path through the loops
  std::string_view name;
  const Tensor& x;  // (R, width): of `rows`
  const Rows& rows;
  const WalkState& state;
};
struct Observer {
  std::function<void(const Sight&)> see;  // null: nobody looks
  bool blocks = true;                     // false: not within blocks

  explicit operator bool() const { return see != nullptr; }
};

// Remembers what was seen under some names. Copies share their memory.
class Kept {
 public:
  Kept(std::initializer_list<std::string> names = {}) : seen_(std::make_shared<Seen>()) {
    for (const std::string& name : names) keep(name);
  }
  // Besides those that it knows.
  void keep(const std::string& name);
  bool keeps(std::string_view name) const;

  Observer observer() const;

  bool has_seen(std::string_view name) const;  // anywhere
  // The last of a step. Undefined: nothing was seen there.
  Tensor at(int step, std::string_view name) const;
  // All of it, in order.
  const std::vector<Tensor>& all(int step, std::string_view name) const;
  Tensor head(int step) const { return at(step, "head"); }
  // Under the name "door". Null: nothing was seen there.
  const std::shared_ptr<const WalkState>& door(int step) const;

 private:
  struct Values {
    std::string name;
    std::vector<std::vector<Tensor>> by_step;
  };
  struct Seen {
    std::vector<Values> names;
    std::vector<std::shared_ptr<const WalkState>> doors;  // by step
  };
  std::shared_ptr<Seen> seen_;
};

}  // namespace fathom
