// Formulas of blocks at random: each is a model that can be counted and told, or is refused with a
// reason.
#include <gtest/gtest.h>

#include "fathom/base/error.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/registry.h"
#include "property/random_formula.h"

namespace fathom {
namespace {

TEST(RandomFormulas, AreCountedAndReadBackOrRefusedWithAReason) {
  int taken = 0, refused = 0, with_column = 0;
  for (unsigned seed = 1; seed <= 1000; ++seed) {
    const property::RandomFormula formula(seed);
    SCOPED_TRACE(formula.text);
    RunConfig config;
    config.model.backbone.n_layer = config.model.backbone.n_head = 2;
    config.model.backbone.n_embd = 8;
    try {
      set_keys(config, {{"wiring", formula.text}});
      set_keys(config, formula.settings);
      validate(config.model);
    } catch (const Error& e) {
      ++refused;
      with_column += std::string(e.what()).find("column") != std::string::npos ? 1 : 0;
      EXPECT_EQ(e.kind(), ErrorKind::kUsage) << e.what();
      EXPECT_STRNE(e.what(), "");
      EXPECT_FALSE(e.hint().empty()) << e.what();
      continue;
    }
    ++taken;
    if (!config.model.wiring.has_wiring()) continue;  // the empty text is none
    const Wiring wiring = typed_wiring(config.model.wiring);
    EXPECT_EQ(parse_wiring(to_text(wiring)).statements, wiring.statements);
    EXPECT_NO_THROW(check_plan(make_depth_plan(config.model)));
    EXPECT_GT(parameter_count(parameter_table(config.model, 11)), 0);
    EXPECT_GT(flops_per_token(config.model, 11, 9).forward(), 0);
  }
  EXPECT_GT(taken, 250);
  EXPECT_GT(refused, 100);
  EXPECT_GT(with_column, 50);
}

}  // namespace
}  // namespace fathom
