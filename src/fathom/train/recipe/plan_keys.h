// Keys that the stages of a training plan set, before it is known which preset the plan is for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fathom/config/fields.h"
#include "fathom/train/recipe/run_config.h"
#include "fathom/train/recipe/training_plan.h"

namespace fathom {

class PlanKeys {
 public:
  PlanKeys();

  // Of every preset. It takes values only to see whether it takes them.
  FieldList& everyones() { return lists_.front()->list; }
  // The key as everyone has it, or else as experiments with one of that name have it, whose bounds
  // may differ; empty: nobody has it.
  std::vector<const Field*> find(const std::string& key);

 private:
  struct Scratch {
    explicit Scratch(RunConfig given) : config(std::move(given)) { add_fields(list, config); }
    RunConfig config;
    FieldList list;
  };
  std::vector<std::unique_ptr<Scratch>> lists_;  // then one of each experiment with keys of its own
};

// Throws Error(kUsage): the key is one for the whole run. `at` begins the sentence.
[[noreturn]] void refuse_for_stages(const Field& field, const std::string& at,
                                    const Budget& budget);

}  // namespace fathom
