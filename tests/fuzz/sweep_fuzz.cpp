// Sweep recipes: runs with names of their own, or one sentence.
#include <set>

#include "fathom/train/recipe/sweep_recipe.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const std::string text = grown(in);
  SweepRecipe recipe;
  if (!accepts(text.size(), [&] { recipe = read_sweep(text, "recipe.toml"); })) return;
  require(!recipe.settings.empty() && !recipe.seeds.empty(), "a recipe has runs");
  std::vector<SweepRun> runs;
  if (!accepts(text.size(), [&] { runs = runs_of(recipe, "plan.json"); })) return;
  require(runs.size() == recipe.settings.size() * recipe.seeds.size(), "settings times seeds");
  require(runs.size() <= kMostSweepRuns, "as many as are allowed");
  std::set<std::string> names;
  for (const SweepRun& run : runs) {
    require(names.insert(run.name).second, "every run has a name of its own");
    require(run.name.size() <= 128 && is_printable(run.name), "a name that a run may have");
    require(run.name.find_first_of("/ '\"\\") == std::string::npos, "a name is no path");
    require(run.words.size() >= 3 && run.words[0][0] != '-', "the preset comes first");
  }
  require(runs_of(recipe, "plan.json")[0].words == runs[0].words, "the same runs each time");
}

}  // namespace fathom::fuzzing
