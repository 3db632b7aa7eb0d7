"""What the dashboards are made of: panels that share their habits, so that a dashboard says only what is its own."""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.cog.variants import Dataquery

    Words = Mapping[str, tuple[str, str]]
    """The word and the colour that stand for a value."""

    Query = tuple[str, str]
    """An expression, and what the legend calls its series."""

    Steps = tuple[tuple[float | None, str], ...]
    """Colours, each with the value from which on it holds; None is the lowest."""

SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
JOB = 'job=~".*siptrunk.*"'
NOT_KNOWN = "not known"
NONE = "-"
NONE_OR_NOT_KNOWN = "none, or not known"
NO_EXPORTER = "no exporter answers Prometheus, or the recording rules are not loaded"

# Counts are shown to the unit: 1,234 channels and not 1.23 K.
COUNT = "locale"
AGO = "dateTimeFromNow"
DECIMALS = {COUNT: 0, AGO: 0, "none": 2}

PLAIN, GOOD, WARN, BAD, NOTE = "text", "green", "orange", "red", "blue"
UP_OR_DOWN: Words = {"1": ("Up", GOOD), "0": ("Down", BAD)}
STATE: Words = {
    "active": ("active", GOOD),
    "provisioning": ("provisioning", NOTE),
    "deprovisioning": ("deprovisioning", WARN),
    "inactive": ("inactive", PLAIN),
    "unknown": ("unknown", "purple"),
}


Panel = TypeVar("Panel", stat.Panel, bargauge.Panel, timeseries.Panel, statetimeline.Panel, heatmap.Panel, table.Panel)


@dataclass(frozen=True, kw_only=True)
class Text:
    """What a panel says of itself: what it tells, when to worry, and what it means when it is empty."""

    title: str
    tells: str
    worry: str
    empty: str = NO_EXPORTER
    no_value: str = NOT_KNOWN

    @property
    def description(self) -> str:
        """The panel's description, in Markdown."""
        return f"{self.tells}.\n\n**Worry** {self.worry}.\n\n**Empty** when {self.empty}."


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table: it shows what `expr` gives, or the label that one of the table's expressions has.

    `blank` stands where there is nothing.
    """

    title: str
    expr: str = ""
    label: str = ""
    unit: str = "string"
    words: Words | None = None
    steps: Steps = ()
    width: int = 0
    linked: bool = False
    blank: str = NOT_KNOWN


def steps(base: str, *more: tuple[float, str]) -> Steps:
    """Give the colour of the lowest values, and others with the values from which on they hold."""
    return ((None, base), *more)


def link_to_property(sid: str) -> build.DashboardLink:
    """Give the link to the property whose Sid Grafana's variable `sid` holds; data source and time range go along."""
    url = f"/d/siptrunk-property?${{datasource:queryparam}}&var-property=${{{sid}}}&${{__url_time_range}}"
    return build.DashboardLink("Open the property").url(url)


LINK_OF_SERIES = link_to_property("__field.labels.property_sid")
LINK_OF_ROW = link_to_property("__data.fields.property_sid")


def number(  # noqa: PLR0913 - a panel has that many sides
    text: Text,
    *queries: Query,
    width: int = 3,
    height: int = 4,
    unit: str = COUNT,
    colours: Steps = ((None, PLAIN),),
    words: Words | None = None,
    mode: look.BigValueTextMode = look.BigValueTextMode.AUTO,
) -> stat.Panel:
    """Make a panel of the newest values, in large figures or in words."""
    panel = _described(stat.Panel(), text, width, height, unit).targets(_instant(queries))
    panel.thresholds(_thresholds(colours)).color_scheme(_by_threshold()).mappings(_mappings(words or {}))
    panel.reduce_options(_newest()).text_mode(mode).color_mode(look.BigValueColorMode.VALUE)
    return panel.graph_mode(look.BigValueGraphMode.NONE).justify_mode(look.BigValueJustifyMode.CENTER)


def bars(  # noqa: PLR0913 - likewise
    text: Text,
    *queries: Query,
    width: int,
    height: int = 9,
    unit: str = COUNT,
    colours: Steps = ((None, NOTE),),
    linked: bool = False,
) -> bargauge.Panel:
    """Make a panel of bars, one for each series' newest value."""
    panel = _described(bargauge.Panel(), text, width, height, unit).targets(_instant(queries))
    panel.thresholds(_thresholds(colours)).color_scheme(_by_threshold()).reduce_options(_newest())
    if linked:
        panel.data_links([LINK_OF_SERIES])
    panel.orientation(look.VizOrientation.HORIZONTAL).display_mode(look.BarGaugeDisplayMode.BASIC)
    panel.name_placement(look.BarGaugeNamePlacement.LEFT).value_mode(look.BarGaugeValueMode.TEXT)
    return panel.sizing(look.BarGaugeSizing.AUTO).show_unfilled(show_unfilled=False)


def graph(  # noqa: PLR0913 - likewise
    text: Text,
    *queries: Query,
    width: int,
    height: int = 8,
    unit: str = COUNT,
    stacked: bool = False,
    linked: bool = False,
    words: Words | None = None,
    dashed: str = "",
    right: str = "",
) -> timeseries.Panel:
    """Make a graph over time; the series that `words` name have their colours, and the one named `dashed` is a limit.

    The series named `right` has its own axis, at the right.
    """
    panel = _described(timeseries.Panel(), text, width, height, unit).targets(_range(queries))
    panel.draw_style(look.GraphDrawStyle.LINE).line_width(1).fill_opacity(60 if stacked else 8)
    panel.show_points(look.VisibilityMode.AUTO).axis_soft_min(0).axis_border_show(axis_border_show=False)
    # A step is a change; a slope between two known values would show some that never were.
    panel.line_interpolation(look.LineInterpolation.STEP_AFTER).span_nulls(span_nulls=False)
    panel.color_scheme(build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    if stacked:
        panel.stacking(common.StackingConfig().mode(look.StackingMode.NORMAL).group("A"))
    if linked:
        panel.data_links([LINK_OF_SERIES])
    for name, (_, colour) in (words or {}).items():
        panel.override_by_name(name, [_option("color", {"mode": "fixed", "fixedColor": colour})])
    if dashed:
        dashes = {"fill": "dash", "dash": [10, 10]}
        panel.override_by_name(dashed, [_option("custom.lineStyle", dashes), _option("custom.fillOpacity", 0)])
    if right:
        panel.override_by_name(right, [_option("custom.axisPlacement", "right"), _option("custom.fillOpacity", 0)])
    panel.tooltip(common.VizTooltipOptions().mode(look.TooltipDisplayMode.MULTI).sort(look.SortOrder.DESCENDING))
    return panel.legend(_legend(["lastNotNull", "max"]))


def timeline(
    text: Text, *queries: Query, width: int, height: int, words: Words, linked: bool = False
) -> statetimeline.Panel:
    """Make a panel of what was when, in words."""
    panel = _described(statetimeline.Panel(), text, width, height, "none").targets(_range(queries))
    panel.mappings(_mappings(words)).thresholds(_thresholds(steps(PLAIN))).color_scheme(_by_threshold())
    if linked:
        panel.data_links([LINK_OF_SERIES])
    panel.merge_values(merge_values=True).show_value(look.VisibilityMode.AUTO).row_height(0.8)
    panel.align_value(look.TimelineValueAlignment.LEFT).line_width(0).fill_opacity(70)
    panel.tooltip(common.VizTooltipOptions().mode(look.TooltipDisplayMode.SINGLE).sort(look.SortOrder.NONE))
    return panel.legend(_legend([]))


def heat_map(text: Text, buckets: str, *, width: int, height: int = 9) -> heatmap.Panel:
    """Make a heat map of a histogram's buckets: `buckets` gives the count of each by its label `le`."""
    panel = _described(heatmap.Panel(), text, width, height, COUNT)
    target = _target(0, buckets, "{{le}}").range().format(PromQueryFormat.HEATMAP)
    panel.targets([target]).calculate(calculate=False)
    panel.y_axis(heatmap.YAxisConfig().unit("s").axis_placement(look.AxisPlacement.LEFT))
    panel.cell_values(heatmap.CellValues().unit(COUNT).decimals(0)).show_value(look.VisibilityMode.NEVER)
    panel.scale_distribution(common.ScaleDistributionConfig().type(look.ScaleDistribution.LINEAR))
    return panel.mode(look.TooltipDisplayMode.SINGLE)


def grid(  # noqa: PLR0913 - likewise
    text: Text,
    *columns: Column,
    width: int,
    height: int,
    join: str = "",
    labels_of: tuple[str, ...] = (),
    sort: tuple[tuple[str, bool], ...] = (),
) -> table.Panel:
    """Make a table of the newest values: a row for each value of the label `join`, else for each series.

    `labels_of` are expressions of which only labels are shown; `sort` names columns, and whether they descend.
    """
    panel = _described(table.Panel(), text, width, height, "string")
    exprs = [*filter(None, (*labels_of, *(column.expr for column in columns)))]
    panel.targets([_target(at, expr, "").instant().format(PromQueryFormat.TABLE) for at, expr in enumerate(exprs)])
    # How Grafana calls the values: by their query, where there are several.
    values = [f"Value #{ascii_uppercase[at]}" for at in range(len(exprs))] if len(exprs) > 1 else ["Value"]
    by_expr = dict(zip(exprs, values, strict=True))
    fields = {column.label or by_expr[column.expr]: column.title for column in columns}
    if join:
        panel.with_transformation(_transformation("joinByField", byField=join, mode="outer"))
    panel.with_transformation(_transformation("filterFieldsByName", include={"names": list(fields)}))
    panel.with_transformation(
        _transformation(
            "organize",
            excludeByName={},
            indexByName={field: at for at, field in enumerate(fields)},
            renameByName=fields,
        )
    )
    for column in columns:
        panel.override_by_name(column.title, list(_cell(column)))
    panel.sort_by([common.TableSortByFieldState().display_name(name).desc(desc) for name, desc in sort])
    panel.filterable(filterable=True).cell_height(look.TableCellHeight.SM).show_header(show_header=True)
    return panel.footer(
        common.TableFooterOptions().show(show=False).reducer([]).enable_pagination(enable_pagination=True)
    )


def _described(panel: Panel, text: Text, width: int, height: int, unit: str) -> Panel:
    panel.title(text.title).description(text.description).no_value(text.no_value)
    panel.datasource(SOURCE).span(width).height(height).unit(unit)
    if unit in DECIMALS:
        panel.decimals(DECIMALS[unit])
    return panel


def _target(at: int, expr: str, legend: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(ascii_uppercase[at]).expr(expr).legend_format(legend).datasource(SOURCE)


def _instant(queries: Iterable[Query]) -> list[Builder[Dataquery]]:
    return [_target(at, *query).instant() for at, query in enumerate(queries)]


def _range(queries: Iterable[Query]) -> list[Builder[Dataquery]]:
    return [_target(at, *query).range() for at, query in enumerate(queries)]


def _newest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(values=False)


def _legend(calcs: list[str]) -> common.VizLegendOptions:
    mode = look.LegendDisplayMode.TABLE if calcs else look.LegendDisplayMode.LIST
    legend = common.VizLegendOptions().show_legend(show_legend=True).placement(look.LegendPlacement.BOTTOM)
    return legend.display_mode(mode).calcs(calcs)


def _by_threshold() -> build.FieldColor:
    return build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)


def _thresholds(colours: Steps) -> build.ThresholdsConfig:
    made = [model.Threshold(value, colour) for value, colour in colours]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(made)


def _mappings(words: Words) -> list[model.ValueMapping]:
    results = {
        value: model.ValueMappingResult(text=text, color=colour, index=at)
        for at, (value, (text, colour)) in enumerate(words.items())
    }
    return [model.ValueMap(results)] if results else []


def _option(name: str, value: object) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(name, value)


def _transformation(name: str, **options: object) -> model.DataTransformerConfig:
    return model.DataTransformerConfig(name, options=options)


def _cell(column: Column) -> Iterator[model.DynamicConfigValue]:
    yield _option("unit", column.unit)
    yield _option("noValue", column.blank)
    if column.unit in DECIMALS:
        yield _option("decimals", DECIMALS[column.unit])
    if column.words:
        yield _option("mappings", _mappings(column.words))
    if column.steps:
        yield _option("thresholds", _thresholds(column.steps).build())
    if column.words or column.steps:
        yield _option("color", {"mode": "thresholds"})
        yield _option("custom.cellOptions", {"type": "color-text"})
    if column.width:
        yield _option("custom.width", column.width)
    if column.linked:
        yield _option("links", [LINK_OF_ROW.build()])
