#include "fathom/data/numbers/rewrite.h"

#include <cmath>
#include <map>
#include <set>

#include "data/numbers/numbers_testing.h"

namespace fathom {
namespace {

using testing::Draws;
using ::testing::ElementsAre;
using testing::random_program;
using ::testing::UnorderedElementsAre;

// All that can become of a text, by what.
std::map<Rewriting, std::set<std::string>> rewritings_of(const std::string& text) {
  Draws draws(31);
  std::map<Rewriting, std::set<std::string>> found;
  for (int i = 0; i < 200; ++i) {
    const Rewritten result = rewritten(expression_tokens(text), 4, std::ref(draws));
    found[result.by].insert(to_text(result.tokens));
  }
  return found;
}

TEST(Rewrite, KnowsFourRules) {
  auto found = rewritings_of("1 + (2 + 3)");
  EXPECT_THAT(found[Rewriting::kCommute], UnorderedElementsAre("2 + 3 + 1", "1 + (3 + 2)"));
  EXPECT_THAT(found[Rewriting::kRegroup], UnorderedElementsAre("1 + 2 + 3", "2 + (1 + 3)"));
  EXPECT_EQ(found.size(), 2u);
  found = rewritings_of("4 * 2 * 3");
  EXPECT_THAT(found[Rewriting::kRegroup], ElementsAre("4 * (2 * 3)"));
  found = rewritings_of("2 * (3 - 0.5)");
  EXPECT_THAT(found[Rewriting::kExpand], ElementsAre("2 * 3 - 2 * 0.5"));
  EXPECT_THAT(found[Rewriting::kCommute], ElementsAre("(3 - 0.5) * 2"));
  found = rewritings_of("2 * 3 + 2 * -4");
  EXPECT_THAT(found[Rewriting::kFactor], ElementsAre("2 * (3 + -4)"));
  found = rewritings_of("(1 - 7) * 3 - (1 - 7) * 4");
  EXPECT_THAT(found[Rewriting::kFactor], ElementsAre("(1 - 7) * (3 - 4)"));
  found = rewritings_of("2 * (1 * 5 + 1 * 6)");
  EXPECT_THAT(found[Rewriting::kFactor], ElementsAre("2 * (1 * (5 + 6))"));
}

TEST(Rewrite, LeavesWhatHasNoPlaceForARule) {
  // 1e5 is lost in 1e17, a term that is there only in one order.
  for (const char* text :
       {"7", "(7)", "3 - 4", "3 / 4 / 5", "2 + 2", "1 / 0 + 3", "(2 - 2) / (2 - 2) * 3",
        "100000000000000000 + -100000000000000000 + 0.1"}) {
    const auto found = rewritings_of(text);
    ASSERT_TRUE(found.count(Rewriting::kNone)) << text;
    EXPECT_THAT(found.at(Rewriting::kNone), ElementsAre(text));
  }
}

TEST(Rewrite, StaysWithinTheLimitsOfAText) {
  // Expanding would write the long factor twice.
  std::string text = "(1";
  for (int i = 0; i < 150; ++i) text += " - 1";
  text += ") * (3 + 4)";
  auto found = rewritings_of(text);
  EXPECT_EQ(found.count(Rewriting::kExpand), 0u);
  EXPECT_EQ(found.count(Rewriting::kNone), 1u);
  EXPECT_EQ(found.count(Rewriting::kCommute), 1u);
  // Regrouping would nest one deeper.
  text = "1 + 2 + ";
  for (size_t i = 0; i < kMostNested; ++i) text += "(1 - ";
  text += "1" + std::string(kMostNested, ')');
  found = rewritings_of(text);
  EXPECT_EQ(found.count(Rewriting::kRegroup), 0u);
  EXPECT_EQ(found.count(Rewriting::kNone), 1u);
}

TEST(Rewrite, KeepsTheValueAndSaysWhatIsAProgram) {
  Draws draws(33);
  std::map<Rewriting, int> counts;
  std::map<Rewriting, int> programs;
  for (int i = 0; i < 1000; ++i) {
    const size_t depth = 5;
    std::vector<ExpressionToken> tokens = expression_of(random_program(draws, depth, 5));
    for (int times = 0; times < 5; ++times) {
      const double before = value_of_expression(tokens);
      const Rewritten result = rewritten(tokens, depth, std::ref(draws));
      ++counts[result.by];
      programs[result.by] += result.program.has_value();
      const double after = value_of_expression(result.tokens);
      if (result.by == Rewriting::kNone) {
        ASSERT_EQ(result.tokens, tokens);
      } else {
        ASSERT_LE(std::abs(after - before), 1e-9 * std::abs(before)) << to_text(tokens);
      }
      ASSERT_EQ(expression_tokens(to_text(result.tokens)), result.tokens);
      if (result.program.has_value()) {
        ASSERT_EQ(*result.program, program_of(result.tokens, depth));
        ASSERT_EQ(value_of(*result.program), after);
      } else {
        ASSERT_THROW(program_of(result.tokens, depth), Error) << to_text(result.tokens);
      }
      tokens = result.tokens;
    }
  }
  for (const Rewriting kind :
       {Rewriting::kCommute, Rewriting::kRegroup, Rewriting::kExpand, Rewriting::kFactor})
    EXPECT_GT(counts[kind], 50) << static_cast<int>(kind);
  EXPECT_GT(programs[Rewriting::kCommute], 50);
  EXPECT_GT(programs[Rewriting::kRegroup], 50);
}

}  // namespace
}  // namespace fathom
