/*
What lib/repairs/viewer.py adds to MONAI Label's panel in OHIF: the figures of a result, the review of a final label, and
steps back and forth in what is drawn. `react`, `BaseTab`, `MonaiLabelClient`, `dist_esm` (cornerstone's core) and `esm`
(its tools) are the names of the script that this becomes a part of.
*/

const SEGMENTATION = '1';
const REVIEW = 'segmentationMeta';
const MOST_STEPS = 100;
const PAUSE_MS = 400;

/* What the server says beside a mask, which the viewer asks for without it; the server has the mask already. */
async function factsOf(client, model, series, params) {
  const answer = await client.infer(model, series, { ...params }, null, '.nrrd', 'json');
  return answer.status === 200 ? JSON.parse(new TextDecoder().decode(answer.data)) : {};
}

function Figures({ facts }) {
  const measured = facts?.measurements;
  if (!measured) {
    return null;
  }
  const millimetres = lesion =>
    `${lesion.axial_diameter_mm.toFixed(0)} × ${lesion.perpendicular_diameter_mm.toFixed(0)} mm axial, ` +
    `${lesion.diameter_3d_mm.toFixed(0)} mm in 3D`;
  const lesions = measured.lesions.map((lesion, index) => [
    `Lesion ${index + 1}${lesion.part ? ` (${lesion.part})` : ''}`,
    `${lesion.volume_ml.toFixed(1)} ml, ${millimetres(lesion)}`
  ]);
  const rows = [['Pancreas', `${measured.pancreas_ml.toFixed(1)} ml`], ...lesions];
  if (!lesions.length) {
    rows.push(['Lesions', 'none found']);
  }
  return react.createElement('div', { className: 'figures' },
    react.createElement('table', { style: { fontSize: 'smaller', width: '100%' } },
      react.createElement('tbody', null, rows.map(([name, figures]) =>
        react.createElement('tr', { key: name, style: { verticalAlign: 'top' } },
          react.createElement('td', null, name), react.createElement('td', null, figures))))),
    react.createElement('p', { style: { fontSize: 'smaller' } }, 'Not a medical device: check each figure.'));
}

function wordsOf(review) {
  const by = { approved: 'Approved by', flagged: 'Sent back by', 'second reader': 'Handed to a second reader by' };
  return `${by[review.status]} ${review.approvedBy}${review.comment ? `: ${review.comment}` : ''}`;
}

function ReviewLine({ review }) {
  return review?.status ? react.createElement('p', { role: 'alert' }, wordsOf(review)) : null;
}

class Review extends BaseTab {
  constructor(props) {
    super(props);
    this.state = { label: null, facts: null, sentence: '', told: '' };
    // In the panel and not over it: OHIF's own notifications would lie on these buttons.
    this.tell = told => this.setState({ told });
    this.series = () => this.props.getActiveViewportInfo().displaySet.SeriesInstanceUID;
    this.model = () => {
      const { models } = this.props.info.data;
      return Object.keys(models).find(name => models[name].config?.show);
    };

    this.url = path => {
      const url = new URL(path, this.props.client().server_url);
      url.searchParams.append('label', this.series());
      url.searchParams.append('tag', 'final');
      return url.toString();
    };

    this.fetch = async () => {
      const answer = await MonaiLabelClient.api_get(this.url('datastore/label/info'));
      this.setState({ label: answer.status === 200 ? answer.data : null });
    };

    this.show = async () => {
      const params = { show: 'final label' };
      const answer = await this.props.client().infer(this.model(), this.series(), { ...params });
      if (answer.status !== 200) {
        return this.tell('Failed to show the label' + _sentence(answer));
      }
      await this.props.updateView(answer, this.model(), this.props.info.modelLabelNames[this.model()]);
      const facts = await factsOf(this.props.client(), this.model(), this.series(), params);
      this.setState({ told: '', facts, label: { ...this.state.label, ts: facts.ts, [REVIEW]: facts.review } });
    };

    this.decide = async status => {
      const form = new FormData();
      const review = { status, comment: this.state.sentence, ts: this.state.label.ts };
      form.append('info', JSON.stringify({ [REVIEW]: review }));
      const answer = await MonaiLabelClient.api_put_data(this.url('datastore/label/info'), form);
      if (answer.status !== 200) {
        return this.tell('Failed to review' + _sentence(answer));
      }
      this.setState({ told: '', sentence: '' });
      await this.fetch();
    };

    this.next = async () => {
      const answer = await this.props.client().next_sample('review');
      if (answer.status !== 200 || !answer.data.id) {
        const failed = 'Failed to fetch the next label' + _sentence(answer);
        return this.tell(answer.status === 200 ? 'No label waits for a review' : failed);
      }
      const address = new URL(window.location.href);
      address.searchParams.set('StudyInstanceUIDs', answer.data.StudyInstanceUID);
      window.location.href = address.toString();
    };
  }

  componentDidMount() {
    return this.fetch();
  }

  componentDidUpdate(before) {
    if (before.info !== this.props.info) {
      this.fetch();
    }
  }

  button(words, action, usable = true) {
    const style = { backgroundColor: 'lightgray', opacity: usable ? 1 : 0.5, margin: '2px', width: 'auto' };
    return react.createElement('button', { className: 'actionInput', style, disabled: !usable, onClick: action }, words);
  }

  render() {
    const { label, sentence, told } = this.state;
    const reviewed = label?.[REVIEW]?.status;
    const state = reviewed ? wordsOf(label[REVIEW]) : 'Waits for a review';
    return react.createElement('div', { className: 'tab' },
      react.createElement('input', { className: 'tab-switch', type: 'checkbox', id: this.tabId, name: 'review' }),
      react.createElement('label', { className: 'tab-label', htmlFor: this.tabId }, 'Review'),
      react.createElement('div', { className: 'tab-content reviewTab' },
        react.createElement('p', { role: 'status' },
          label ? `Labelled by ${label.annotator || 'nobody known'}. ${state}` : 'This scan has no final label'),
        told ? react.createElement('p', { role: 'alert', style: { fontWeight: 'bold', overflowWrap: 'anywhere' } }, told) : null,
        this.button('Next to review', this.next),
        this.button('Show label', this.show, !!label),
        react.createElement(Figures, { facts: this.state.facts }),
        react.createElement('textarea', {
          'aria-label': 'What to correct', placeholder: 'What to correct', rows: 2, maxLength: 500, value: sentence,
          style: { color: 'black', width: '100%', marginTop: '4px' },
          onChange: event => this.setState({ sentence: event.target.value })
        }),
        this.button('Approve', () => this.decide('approved'), !!label),
        this.button('Send back', () => this.decide('flagged'), !!label),
        this.button('Second reader', () => this.decide('second reader'), !!label)));
  }
}

/* What was drawn, step by step: the voxels that a stroke changed, with their values before and after. */
class Steps {
  constructor() {
    this.volume = () => undefined;
    this.done = [];
    this.undone = [];
    this.pressed = false;
    dist_esm.eventTarget.addEventListener(esm.Enums.Events.SEGMENTATION_DATA_MODIFIED, ({ detail }) => {
      if (detail.segmentationId === SEGMENTATION) {
        this.keepSoon();
      }
    });
    window.addEventListener('pointerdown', () => { this.pressed = true; }, true);
    window.addEventListener('pointerup', () => { this.pressed = false; }, true);
    window.addEventListener('pointercancel', () => { this.pressed = false; }, true);
    window.addEventListener('keydown', event => {
      const typing = ['INPUT', 'TEXTAREA', 'SELECT'].includes(event.target.tagName);
      if (typing || !(event.ctrlKey || event.metaKey) || !['z', 'y'].includes(event.key.toLowerCase())) {
        return;
      }
      event.preventDefault();
      event.shiftKey || event.key.toLowerCase() === 'y' ? this.redo() : this.undo();
    });
  }

  /* Once the voxels stay as they are and no stroke is under way. */
  keepSoon() {
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.pressed ? this.keepSoon() : this.keep(), PAUSE_MS);
  }

  voxels() {
    return this.volume()?.voxelManager.getCompleteScalarDataArray();
  }

  keep() {
    clearTimeout(this.pause);
    const now = this.voxels();
    if (!now) {
      return;
    }
    const before = this.last?.length === now.length ? this.last : new Uint8Array(now.length);
    const places = [];
    for (let i = 0; i < now.length; i++) {
      if (now[i] !== before[i]) {
        places.push(i);
      }
    }
    this.last = new Uint8Array(now);
    if (places.length) {
      this.done.push({ places, before: places.map(i => before[i]), after: places.map(i => now[i]) });
      this.done = this.done.slice(-MOST_STEPS);
      this.undone = [];
    }
  }

  undo() {
    this.keep();
    this.step(this.done, this.undone, 'before');
  }

  redo() {
    this.keep();
    this.step(this.undone, this.done, 'after');
  }

  step(from, to, values) {
    const step = from.pop();
    if (!step) {
      return;
    }
    to.push(step);
    step.places.forEach((place, i) => {
      this.last[place] = step[values][i];
    });
    this.volume().voxelManager.setCompleteScalarDataArray(new Uint8Array(this.last));
    const modified = esm.Enums.Events.SEGMENTATION_DATA_MODIFIED;
    (0, dist_esm.triggerEvent)(dist_esm.eventTarget, modified, { segmentationId: SEGMENTATION });
  }
}

const steps = new Steps();

function StepButtons() {
  const style = { backgroundColor: 'lightgray', margin: '2px', width: 'auto' };
  const button = (words, title, action) =>
    react.createElement('button', { className: 'actionInput', style, title, onClick: action }, words);
  return react.createElement('div', null,
    button('Undo', 'Ctrl+Z', () => steps.undo()), button('Redo', 'Ctrl+Y', () => steps.redo()));
}

