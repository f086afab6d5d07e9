// A run's data.json: what was taken reads back.
#include "fathom/train/recipe/data_places.h"

#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const bool framed = in.below(2) == 1;
  std::string text = grown(in);
  if (framed) text = R"({"rain": {"folder": "/)" + text + R"(", "fingerprint": ""}})";
  DataPlaces places;
  if (!accepts(text.size(), [&] { places = parse_data_places(text, "data.json"); })) return;
  for (const auto& [name, place] : places)
    require(!place.folder.empty() && place.folder.front() == '/', "a folder is absolute");
  require(parse_data_places(to_text(places), "again") == places, "places read back as they were");
}

}  // namespace fathom::fuzzing
