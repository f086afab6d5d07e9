// The outlier window's state: a list in JSON, read into a window of some size.
#include <cmath>
#include <nlohmann/json.hpp>

#include "fathom/io/json_text.h"
#include "fathom/train/recipe/outlier_window.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  using nlohmann::json;
  const int64_t size = in.number();
  const std::string text = grown(in);
  json list;
  OutlierWindow window(size);
  if (!accepts(text.size(), [&] { from_json(list = parse_json(text, "x.json"), window); })) return;
  const auto given = static_cast<int64_t>(list.size());
  require(window.count() == std::min(size, given), "the newest that fit are kept");
  const json saved = window;
  for (size_t i = 0; i < saved.size(); ++i)
    require(saved[i] == list[list.size() - saved.size() + i].get<double>(), "in their order");
  OutlierWindow again(size);
  from_json(json::parse(saved.dump()), again);
  require(json(again) == saved, "a window reads back as it was");
  require(window.resized(size + 1).count() == window.count(), "a larger window keeps all");
}

}  // namespace fathom::fuzzing
