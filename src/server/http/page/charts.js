/**
 * Pictures in SVG: lines over time with axes and units, and the cells of the segments. A picture is made
 * anew for each reading. What is drawn are numbers of our own and texts set as texts; colours come from
 * the style sheet by class.
 */
import { roundUp } from './format.js'

const SVG = 'http://www.w3.org/2000/svg'
const HEIGHT = 132
const LEFT = 46
const RIGHT = 8
const TOP = 8
const BOTTOM = 20

export function svg(name, attributes = {}, text = undefined) {
  const element = document.createElementNS(SVG, name)
  for (const [attribute, value] of Object.entries(attributes)) {
    element.setAttribute(attribute, String(value))
  }
  if (text !== undefined) element.textContent = text
  return element
}

/**
 * One of the small multiples. `lines`: names, each with its class and how its points come from a history;
 * `format` writes a value with its unit.
 */
export class Chart {
  constructor(options, onPick) {
    this.options = options
    this.readings = []
    this.picked = undefined
    this.root = document.createElement('figure')
    this.root.className = 'chart'
    const caption = document.createElement('figcaption')
    const title = document.createElement('h3')
    title.textContent = options.title
    const unit = document.createElement('span')
    unit.className = 'unit'
    unit.textContent = options.unit
    title.append(' ', unit)
    this.legend = document.createElement('ul')
    this.legend.className = 'legend'
    caption.append(title, this.legend)
    this.picture = svg('svg', { role: 'img', tabindex: 0, height: HEIGHT })
    this.root.append(caption, this.picture)
    this.values = options.lines.map((line) => this.addToLegend(line))
    this.listen(onPick)
  }

  addToLegend({ name, color }) {
    const row = document.createElement('li')
    const swatch = document.createElement('span')
    swatch.className = `swatch ${color}`
    swatch.setAttribute('aria-hidden', 'true')
    const value = document.createElement('b')
    row.append(swatch, `${name} `, value)
    this.legend.append(row)
    return value
  }

  /** Which point is looked at, by pointer or by arrow keys, is the same in all charts. */
  listen(onPick) {
    const { picture } = this
    picture.addEventListener('pointermove', (event) => onPick(this.indexAt(event.offsetX)))
    picture.addEventListener('pointerleave', () => onPick(undefined))
    picture.addEventListener('blur', () => onPick(undefined))
    picture.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, Escape: 0 }[event.key]
      if (step === undefined) return
      event.preventDefault()
      const last = this.pointCount - 1
      const from = this.picked ?? last + (step < 0 ? 1 : 0)
      onPick(step === 0 ? undefined : Math.min(Math.max(from + step, 0), last))
    })
  }

  /** `slots`: how many points fill the width; fewer stand at the right. */
  show(readings, slots, intervalMs) {
    this.readings = readings
    this.slots = slots
    this.intervalMs = intervalMs
    this.draw()
  }

  get pointCount() {
    return this.readings[0]?.length ?? 0
  }

  indexAt(x) {
    const span = this.width - LEFT - RIGHT
    const slot = Math.round(((x - LEFT) / span) * (this.slots - 1))
    const index = slot - (this.slots - this.pointCount)
    return index < 0 || index >= this.pointCount ? undefined : index
  }

  pick(index) {
    if (this.picked === index) return
    this.picked = index
    this.draw()
  }

  draw() {
    this.width = Math.max(this.root.clientWidth, 200)
    const { picture, width, options, readings } = this
    picture.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`)
    picture.setAttribute('width', width)
    const known = readings.flat().filter((value) => value !== undefined)
    const top = options.top ?? roundUp(Math.max(...known, options.least ?? 0), options.base)
    picture.replaceChildren(...this.axes(top), ...this.curves(top), ...this.marker(top))
    const at = this.picked ?? this.pointCount - 1
    for (const [line, value] of this.values.entries()) {
      const reading = readings[line]?.[at]
      value.textContent = reading === undefined ? '–' : options.format(reading)
    }
    const told = options.lines.map(({ name }, line) => `${name} ${this.values[line].textContent}`)
    const when = this.picked === undefined ? 'now' : ago(this.secondsAgo(this.picked))
    picture.setAttribute('aria-label', `${options.title}, ${when}: ${told.join(', ')}`)
  }

  axes(top) {
    const { width, options } = this
    const lines = [0, 0.5, 1].flatMap((part) => {
      const y = yOf(part)
      return [
        svg('line', { class: 'grid', x1: LEFT, x2: width - RIGHT, y1: y, y2: y }),
        svg(
          'text',
          { class: 'tick', x: LEFT - 6, y: y + 4, 'text-anchor': 'end' },
          options.format(part * top),
        ),
      ]
    })
    const minutes = Math.round((this.slots * this.intervalMs) / 60_000)
    const times = [
      [LEFT, 'start', `${minutes} min ago`],
      [width - RIGHT, 'end', 'now'],
    ].map(([x, anchor, text]) =>
      svg('text', { class: 'tick', x, y: HEIGHT - 4, 'text-anchor': anchor }, text),
    )
    return [...lines, ...times]
  }

  curves(top) {
    if (this.pointCount < 2) {
      const middle = { class: 'tick', x: (this.width + LEFT) / 2, 'text-anchor': 'middle' }
      return [svg('text', { ...middle, y: yOf(0.5) - 6 }, 'collecting…')]
    }
    return this.options.lines.flatMap(({ color, isArea }, line) => {
      const path = this.pathOf(this.readings[line], top)
      if (path === '') return []
      const curve = svg('path', { class: `curve ${color}`, d: path })
      if (isArea !== true) return [curve]
      const start = `L${this.xOf(this.pointCount - 1)} ${yOf(0)}L${this.xOf(0)} ${yOf(0)}Z`
      return [svg('path', { class: `area ${color}`, d: path + start }), curve]
    })
  }

  /** Where a point is not known the line has a gap. */
  pathOf(points, top) {
    let isDrawing = false
    let path = ''
    for (const [index, value] of points.entries()) {
      if (value !== undefined) {
        const y = yOf(Math.min(value / top, 1)).toFixed(1)
        path += `${isDrawing ? 'L' : 'M'}${this.xOf(index)} ${y}`
      }
      isDrawing = value !== undefined
    }
    return path
  }

  marker(top) {
    const { picked } = this
    if (picked === undefined || picked >= this.pointCount) return []
    const x = this.xOf(picked)
    const dots = this.options.lines.flatMap(({ color }, line) => {
      const value = this.readings[line]?.[picked]
      if (value === undefined) return []
      return [
        svg('circle', { class: `dot ${color}`, cx: x, cy: yOf(Math.min(value / top, 1)), r: 3 }),
      ]
    })
    const isLeft = x < this.width / 2
    const when = svg(
      'text',
      { class: 'when', x: isLeft ? Number(x) + 6 : Number(x) - 6, y: TOP + 8 },
      ago(this.secondsAgo(picked)),
    )
    when.setAttribute('text-anchor', isLeft ? 'start' : 'end')
    return [svg('line', { class: 'marker', x1: x, x2: x, y1: TOP, y2: yOf(0) }), ...dots, when]
  }

  secondsAgo(index) {
    return ((this.pointCount - 1 - index) * this.intervalMs) / 1000
  }

  xOf(index) {
    const slot = this.slots - this.pointCount + index
    return (LEFT + (slot / (this.slots - 1)) * (this.width - LEFT - RIGHT)).toFixed(1)
  }
}

function yOf(part) {
  return HEIGHT - BOTTOM - part * (HEIGHT - BOTTOM - TOP)
}

function ago(seconds) {
  if (seconds === 0) return 'now'
  const minutes = Math.floor(seconds / 60)
  return `${minutes > 0 ? `${minutes} min ` : ''}${Math.round(seconds % 60)} s ago`
}

/** One line without axes, for a tile. */
export function sparkline(points, className) {
  const known = points.filter((value) => value !== undefined)
  const picture = svg('svg', {
    viewBox: '0 0 100 24',
    preserveAspectRatio: 'none',
    'aria-hidden': 'true',
  })
  picture.classList.add('spark')
  if (known.length < 2) return picture
  const top = Math.max(...known) || 1
  let path = ''
  for (const [index, value] of points.entries()) {
    if (value === undefined) continue
    const x = (index / (points.length - 1)) * 100
    const step = path === '' || points[index - 1] === undefined ? 'M' : 'L'
    path += `${step}${x.toFixed(1)} ${(22 - (value / top) * 20).toFixed(1)}`
  }
  picture.append(svg('path', { class: `curve ${className}`, d: path }))
  return picture
}

const CELL_SMALL = 12
const CELL_LARGE = 16
/** So many are shown large, where there is room. */
const LARGE_MAX = 640
const GAP = 2

/** The picture of the segments: a cell each, filled from below as far as it is live. */
export class SegmentPicture {
  constructor(picture, onPick) {
    this.picture = picture
    this.columns = 1
    this.side = CELL_SMALL
    this.cellCount = 0
    this.picked = undefined
    picture.setAttribute('tabindex', '0')
    picture.addEventListener('pointermove', (event) => {
      const column = Math.floor(event.offsetX / (this.side + GAP))
      const cell = Math.floor(event.offsetY / (this.side + GAP)) * this.columns + column
      this.pick(column < this.columns && cell < this.cellCount ? cell : undefined, onPick)
    })
    for (const event of ['pointerleave', 'blur']) {
      picture.addEventListener(event, () => this.pick(undefined, onPick))
    }
    picture.addEventListener('keydown', (event) => {
      const { columns } = this
      const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }
      const step = steps[event.key]
      if (step === undefined) return
      event.preventDefault()
      const next = this.picked === undefined ? 0 : this.picked + step
      this.pick(Math.min(Math.max(next, 0), this.cellCount - 1), onPick)
    })
  }

  pick(cell, onPick) {
    if (this.picked === cell) return
    this.picked = cell
    this.frame.setAttribute('d', cell === undefined ? '' : this.square(cell, 0, this.side, 1))
    onPick(cell)
  }

  square(cell, from, height, outside = 0) {
    const x = (cell % this.columns) * (this.side + GAP) + 1 - outside
    const y = Math.floor(cell / this.columns) * (this.side + GAP) + 1 - outside + from
    const width = this.side + 2 * outside
    return `M${x} ${y}h${width}v${height + 2 * outside}h${-width}z`
  }

  show({ cells, live_percents: live, uses }) {
    const width = Math.max(this.picture.parentElement.clientWidth, 200)
    this.side = cells.length <= LARGE_MAX && width > 500 ? CELL_LARGE : CELL_SMALL
    this.columns = Math.floor((width - 2) / (this.side + GAP))
    this.cellCount = cells.length
    const height = Math.ceil(cells.length / this.columns) * (this.side + GAP) + 2
    this.picture.setAttribute('width', width)
    this.picture.setAttribute('height', height)
    const backs = uses.map(() => '')
    const fills = uses.map(() => '')
    for (const [cell, use] of cells.entries()) {
      const filled = Math.ceil((live[cell] / 100) * this.side - 0.5) || Math.min(live[cell], 1)
      backs[use] += this.square(cell, 0, this.side)
      if (filled > 0) fills[use] += this.square(cell, this.side - filled, filled)
    }
    this.frame = svg('path', { class: 'frame' })
    this.picture.replaceChildren(
      ...uses.map((use, index) => svg('path', { class: `back use-${use}`, d: backs[index] })),
      ...uses.map((use, index) => svg('path', { class: `fill use-${use}`, d: fills[index] })),
      this.frame,
    )
    if (this.picked !== undefined && this.picked < this.cellCount) {
      this.frame.setAttribute('d', this.square(this.picked, 0, this.side, 1))
    }
  }
}

/** Parts of a whole as one bar; `parts` have a class and a value. */
export function stackedBar(picture, parts, total) {
  let x = 0
  picture.replaceChildren(
    ...parts.map(({ className, value }) => {
      const width = total > 0 ? (value / total) * 1000 : 0
      const rectangle = svg('rect', { class: className, x, y: 0, width, height: 16 })
      x += width
      return rectangle
    }),
  )
}
